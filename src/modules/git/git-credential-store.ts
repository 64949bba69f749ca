import { type Page, type PageRequest, pageOf } from '../../lib/page.ts'
import type { Database } from '../../store/database.ts'
import type { GitCredentialRow, GitHostKeyRow } from './git-credential-schema.ts'

type StoredRow = Omit<GitCredentialRow, 'created_by'> & { created_by: string }

export type GitCredentialStore = ReturnType<typeof createGitCredentialStore>

/** SQL of what a project shows to hosts of repositories and of what it knows of them. */
export function createGitCredentialStore(database: Database) {
  const read = (row: StoredRow): GitCredentialRow => ({
    ...row,
    created_by: JSON.parse(row.created_by) as GitCredentialRow['created_by'],
  })

  return {
    insert: (row: GitCredentialRow): void => {
      database.run(
        `INSERT INTO git_credentials (id, project_id, kind, name, host, path, username, public_key, secret_sealed, created_by, created_at)
         VALUES ($id, $project_id, $kind, $name, $host, $path, $username, $public_key, $secret_sealed, $created_by, $created_at)`,
        { ...row, created_by: JSON.stringify(row.created_by) },
      )
    },

    find: (projectId: string, id: string): GitCredentialRow | undefined => {
      const row = database.get<StoredRow>(
        'SELECT * FROM git_credentials WHERE project_id = $projectId AND id = $id',
        {
          projectId,
          id,
        },
      )
      return row && read(row)
    },

    /** Credentials of a project, newest first. */
    list: (projectId: string, page: PageRequest): Page<GitCredentialRow> => {
      const rows = database.all<StoredRow>(
        `SELECT * FROM git_credentials WHERE project_id = $projectId AND ($after IS NULL OR id < $after) ORDER BY id DESC LIMIT $limit`,
        { projectId, after: page.after ?? null, limit: page.limit + 1 },
      )
      return pageOf(rows.map(read), page.limit, (row) => row.id)
    },

    count: (projectId: string): number =>
      database.get<{ count: number }>(
        'SELECT count(*) AS count FROM git_credentials WHERE project_id = $projectId',
        {
          projectId,
        },
      )?.count ?? 0,

    remove: (projectId: string, id: string): boolean =>
      database.run('DELETE FROM git_credentials WHERE project_id = $projectId AND id = $id', {
        projectId,
        id,
      }) === 1,

    noteUse: (id: string, now: string): void => {
      database.run('UPDATE git_credentials SET last_used_at = $now WHERE id = $id', { id, now })
    },

    findHostKey: (projectId: string, host: string): GitHostKeyRow | undefined =>
      database.get<GitHostKeyRow>(
        'SELECT * FROM git_host_keys WHERE project_id = $projectId AND host = $host',
        {
          projectId,
          host,
        },
      ),

    /** Adds a host key unless the host has one. */
    insertHostKey: ({ id, project_id, host, type, key, created_at }: GitHostKeyRow): boolean =>
      database.run(
        `INSERT INTO git_host_keys (id, project_id, host, type, key, created_at)
         VALUES ($id, $project_id, $host, $type, $key, $created_at) ON CONFLICT (project_id, host) DO NOTHING`,
        { id, project_id, host, type, key, created_at },
      ) === 1,

    findHostKeyById: (projectId: string, id: string): GitHostKeyRow | undefined =>
      database.get<GitHostKeyRow>('SELECT * FROM git_host_keys WHERE project_id = $projectId AND id = $id', {
        projectId,
        id,
      }),

    /** Host keys of a project, newest first. */
    listHostKeys: (projectId: string, page: PageRequest): Page<GitHostKeyRow> => {
      const rows = database.all<GitHostKeyRow>(
        `SELECT * FROM git_host_keys WHERE project_id = $projectId AND ($after IS NULL OR id < $after) ORDER BY id DESC LIMIT $limit`,
        { projectId, after: page.after ?? null, limit: page.limit + 1 },
      )
      return pageOf(rows, page.limit, (row) => row.id)
    },

    removeHostKey: (projectId: string, id: string): boolean =>
      database.run('DELETE FROM git_host_keys WHERE project_id = $projectId AND id = $id', {
        projectId,
        id,
      }) === 1,
  }
}
