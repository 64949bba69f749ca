import type { Page, PageRequest } from '../../lib/page.ts'
import { pageOf } from '../../lib/page.ts'
import type { Database, SqlParameters } from '../../store/database.ts'
import type { ProjectRow, ProjectSummary } from './project-schema.ts'

type Stored<Row extends ProjectSummary> = Omit<Row, 'default_resource_limits'> & {
  default_resource_limits: string | null
}
type StoredRow = Stored<ProjectRow>

const SUMMARY = 'id, name, description, default_resource_limits, revision, created_at, updated_at'

export type ProjectStore = ReturnType<typeof createProjectStore>

/** SQL of projects. */
export function createProjectStore(database: Database) {
  return {
    /** Adds a project; the caller has made sure that the name is free. */
    insert: (project: ProjectRow): void => {
      database.run(
        `INSERT INTO projects (id, name, description, shared_env_sealed, default_resource_limits, revision, created_at, updated_at)
         VALUES ($id, $name, $description, $shared_env_sealed, $default_resource_limits, $revision, $created_at, $updated_at)`,
        write(project),
      )
    },

    /** Replaces what a caller may change and counts the revision up. */
    update: (project: ProjectRow): void => {
      const { id, name, description, shared_env_sealed, default_resource_limits, updated_at } = write(project)
      database.run(
        `UPDATE projects SET name = $name, description = $description, shared_env_sealed = $shared_env_sealed,
           default_resource_limits = $default_resource_limits, updated_at = $updated_at, revision = revision + 1
         WHERE id = $id`,
        { id, name, description, shared_env_sealed, default_resource_limits, updated_at },
      )
    },

    /** Removes the row; its members go with it. */
    remove: (id: string): void => {
      database.run('DELETE FROM projects WHERE id = $id', { id })
    },

    /** What the project of this id is called. Nothing else is read: it is asked for each service, and the shared variables may be large. */
    find: (id: string) =>
      database.get<{ id: string; name: string }>('SELECT id, name FROM projects WHERE id = $id', { id }),

    /** The same of the project of this name. */
    findByName: (name: string) =>
      database.get<{ id: string; name: string }>('SELECT id, name FROM projects WHERE name = $name', {
        name,
      }),

    /** The whole project of this id, with its sealed variables. */
    load: (id: string): ProjectRow | undefined => {
      const row = database.get<StoredRow>('SELECT * FROM projects WHERE id = $id', { id })
      return row && read(row)
    },

    /** The sealed variables of a project; null when there are none. */
    sealedEnvOf: (id: string): string | null =>
      database.get<{ shared_env_sealed: string | null }>(
        'SELECT shared_env_sealed FROM projects WHERE id = $id',
        { id },
      )?.shared_env_sealed ?? null,

    /** Whether there is any project. */
    isEmpty: (): boolean => database.get('SELECT 1 FROM projects LIMIT 1') === undefined,

    /** The projects among `ids`, newest first. */
    list: (ids: readonly string[] | 'all', page: PageRequest): Page<ProjectSummary> => {
      const rows = database.all<Stored<ProjectSummary>>(
        `SELECT ${SUMMARY} FROM projects
         WHERE ($ids IS NULL OR id IN (SELECT value FROM json_each($ids))) AND ($after IS NULL OR id < $after)
         ORDER BY id DESC LIMIT $limit`,
        { ids: ids === 'all' ? null : JSON.stringify(ids), after: page.after ?? null, limit: page.limit + 1 },
      )
      return pageOf(
        rows.map((row) => read(row)),
        page.limit,
        (row) => row.id,
      )
    },
  }
}

function read<Row extends ProjectSummary>(row: Stored<Row>): Row {
  const limits = row.default_resource_limits
  return {
    ...row,
    default_resource_limits:
      limits === null ? null : (JSON.parse(limits) as ProjectRow['default_resource_limits']),
  } as unknown as Row
}

function write(row: ProjectRow): StoredRow & SqlParameters {
  const limits = row.default_resource_limits
  return { ...row, default_resource_limits: limits === null ? null : JSON.stringify(limits) }
}
