import { type Page, type PageRequest, pageOf } from '../../lib/page.ts'
import type { Database } from '../../store/database.ts'
import type { ExternalRegistryRow } from './external-registry-schema.ts'

export type ExternalRegistryStore = ReturnType<typeof createExternalRegistryStore>

/** SQL of external registries. */
export function createExternalRegistryStore(database: Database) {
  return {
    insert: (row: ExternalRegistryRow): void => {
      database.run(
        `INSERT INTO external_registries (id, project_id, name, endpoint, auth_kind, credentials_sealed, revision, created_at, updated_at)
         VALUES ($id, $project_id, $name, $endpoint, $auth_kind, $credentials_sealed, $revision, $created_at, $updated_at)`,
        { ...row },
      )
    },

    /** Replaces what a caller may change and counts the revision up. */
    update: ({
      id,
      name,
      endpoint,
      auth_kind,
      credentials_sealed,
      updated_at,
    }: ExternalRegistryRow): void => {
      database.run(
        `UPDATE external_registries SET name = $name, endpoint = $endpoint, auth_kind = $auth_kind,
           credentials_sealed = $credentials_sealed, updated_at = $updated_at, revision = revision + 1 WHERE id = $id`,
        { id, name, endpoint, auth_kind, credentials_sealed, updated_at },
      )
    },

    find: (projectId: string, id: string) =>
      database.get<ExternalRegistryRow>(
        'SELECT * FROM external_registries WHERE project_id = $projectId AND id = $id',
        { projectId, id },
      ),

    findByName: (projectId: string, name: string) =>
      database.get<ExternalRegistryRow>(
        'SELECT * FROM external_registries WHERE project_id = $projectId AND name = $name',
        { projectId, name },
      ),

    /** The newest of a project's registries at this origin that has credentials. */
    findWithCredentials: (projectId: string, endpoint: string) =>
      database.get<ExternalRegistryRow>(
        `SELECT * FROM external_registries
         WHERE project_id = $projectId AND endpoint = $endpoint AND credentials_sealed IS NOT NULL ORDER BY id DESC LIMIT 1`,
        { projectId, endpoint },
      ),

    /** Those of a project, newest first. */
    list: (projectId: string, page: PageRequest): Page<ExternalRegistryRow> =>
      pageOf(
        database.all<ExternalRegistryRow>(
          `SELECT * FROM external_registries WHERE project_id = $projectId AND ($after IS NULL OR id < $after)
           ORDER BY id DESC LIMIT $limit`,
          { projectId, after: page.after ?? null, limit: page.limit + 1 },
        ),
        page.limit,
        (row) => row.id,
      ),

    remove: (id: string): void => {
      database.run('DELETE FROM external_registries WHERE id = $id', { id })
    },
  }
}
