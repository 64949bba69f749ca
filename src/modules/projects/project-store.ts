import type { Page, PageRequest } from '../../lib/page.ts'
import { pageOf } from '../../lib/page.ts'
import type { Database, SqlParameters } from '../../store/database.ts'
import type { ProjectRow } from './project-schema.ts'

type StoredRow = Omit<ProjectRow, 'default_resource_limits'> & { default_resource_limits: string | null }

export type ProjectStore = ReturnType<typeof createProjectStore>

/** SQL of projects. */
export function createProjectStore(database: Database) {
  const one = (sql: string, parameters: SqlParameters): ProjectRow | undefined => {
    const row = database.get<StoredRow>(sql, parameters)
    return row && read(row)
  }

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

    /** The project of this id. */
    find: (id: string) => one('SELECT * FROM projects WHERE id = $id', { id }),

    /** The project of this name. */
    findByName: (name: string) => one('SELECT * FROM projects WHERE name = $name', { name }),

    /** Whether there is any project. */
    isEmpty: (): boolean => database.get('SELECT 1 FROM projects LIMIT 1') === undefined,

    /** The projects among `ids`, newest first. */
    list: (ids: readonly string[] | 'all', page: PageRequest): Page<ProjectRow> => {
      const rows = database.all<StoredRow>(
        `SELECT * FROM projects
         WHERE ($ids IS NULL OR id IN (SELECT value FROM json_each($ids))) AND ($after IS NULL OR id < $after)
         ORDER BY id DESC LIMIT $limit`,
        { ids: ids === 'all' ? null : JSON.stringify(ids), after: page.after ?? null, limit: page.limit + 1 },
      )
      return pageOf(rows.map(read), page.limit, (row) => row.id)
    },
  }
}

function read(row: StoredRow): ProjectRow {
  const limits = row.default_resource_limits
  return {
    ...row,
    default_resource_limits:
      limits === null ? null : (JSON.parse(limits) as ProjectRow['default_resource_limits']),
  }
}

function write(row: ProjectRow): StoredRow & SqlParameters {
  const limits = row.default_resource_limits
  return { ...row, default_resource_limits: limits === null ? null : JSON.stringify(limits) }
}
