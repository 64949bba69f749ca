import { createLastUse } from '../../lib/last-use.ts'
import type { Database } from '../../store/database.ts'
import type { Permission } from './permissions.ts'

/** An API token as stored; the plaintext is nowhere. */
export interface TokenEntity {
  id: string
  user_id: string
  /** The token that minted it. */
  parent_id: string | null
  name: string
  token_hash: Buffer
  prefix: string
  /** Null: all that the user has. */
  permissions: Permission[] | null
  project_ids: string[] | null
  created_at: string
  last_used_at: string | null
  expires_at: string | null
}

type TokenRow = Omit<TokenEntity, 'permissions' | 'project_ids'> & {
  permissions: string | null
  project_ids: string | null
}

export interface TokenStore {
  insert(token: TokenEntity): void
  findByHash(tokenHash: Buffer): TokenEntity | undefined
  find(id: string): TokenEntity | undefined
  /** Newest first; of every user when none is named. */
  list(userId: string | undefined, limit: number, before?: string): TokenEntity[]
  /** How many of the user's have not expired. */
  countLive(userId: string, now: string): number
  /** It is used now. That this cannot be written is told to `onError`, and every answer of this store goes by it all the same. */
  touch(id: string, now: string): void
  /** Also removes what it minted. */
  remove(id: string): void
  /** All of the user's; answers how many of them had not expired. */
  removeOfUser(userId: string, now: string): number
  /** Drops the user's expired ones but for the newest `keep`. */
  trimExpired(userId: string, now: string, keep: number): void
  /** Drops those that expired at `before` or earlier. */
  removeExpired(before: string): void
  /** Takes a project out of all tokens that name it; answers those that name no other. */
  forgetProject(projectId: string): TokenEntity[]
}

/** API tokens, found by the hash of the plaintext. */
export function createTokenStore(database: Database, onError: (error: unknown) => void): TokenStore {
  const lastUse = createLastUse((id, now) => {
    database.run('UPDATE api_tokens SET last_used_at = $now WHERE id = $id', { id, now })
  }, onError)
  const parseRow = (row: TokenRow): TokenEntity => ({
    ...row,
    last_used_at: lastUse.of(row.id, row.last_used_at),
    permissions: row.permissions === null ? null : (JSON.parse(row.permissions) as Permission[]),
    project_ids: row.project_ids === null ? null : (JSON.parse(row.project_ids) as string[]),
  })
  const toEntity = (row: TokenRow | undefined): TokenEntity | undefined => row && parseRow(row)
  const countLive = (userId: string, now: string): number =>
    database.get<{ count: number }>(
      `SELECT count(*) AS count FROM api_tokens
       WHERE user_id = $userId AND (expires_at IS NULL OR expires_at > $now)`,
      { userId, now },
    )?.count ?? 0

  return {
    insert: (token) => {
      database.run(
        `INSERT INTO api_tokens (id, user_id, parent_id, name, token_hash, prefix, permissions, project_ids, created_at, last_used_at, expires_at)
         VALUES ($id, $user_id, $parent_id, $name, $token_hash, $prefix, $permissions, $project_ids, $created_at, $last_used_at, $expires_at)`,
        {
          ...token,
          permissions: token.permissions && JSON.stringify(token.permissions),
          project_ids: token.project_ids && JSON.stringify(token.project_ids),
        },
      )
    },
    findByHash: (tokenHash) =>
      toEntity(
        database.get<TokenRow>('SELECT * FROM api_tokens WHERE token_hash = $tokenHash', { tokenHash }),
      ),
    find: (id) => toEntity(database.get<TokenRow>('SELECT * FROM api_tokens WHERE id = $id', { id })),
    list: (userId, limit, before) =>
      database
        .all<TokenRow>(
          `SELECT * FROM api_tokens WHERE ($userId IS NULL OR user_id = $userId) AND id < coalesce($before, '~')
           ORDER BY id DESC LIMIT $limit`,
          { userId: userId ?? null, before: before ?? null, limit },
        )
        .map(parseRow),
    countLive,
    touch: lastUse.note,
    remove: (id) => {
      database.run('DELETE FROM api_tokens WHERE id = $id', { id })
    },
    // Counted first: what a token minted goes by the foreign key, and SQLite does not count that.
    removeOfUser: (userId, now) => {
      const count = countLive(userId, now)
      database.run('DELETE FROM api_tokens WHERE user_id = $userId', { userId })
      return count
    },
    // What a token minted ends no later than itself, so nothing alive goes by the foreign key.
    trimExpired: (userId, now, keep) => {
      database.run(
        `DELETE FROM api_tokens WHERE id IN (SELECT id FROM api_tokens
         WHERE user_id = $userId AND expires_at <= $now ORDER BY id DESC LIMIT -1 OFFSET $keep)`,
        { userId, now, keep },
      )
    },
    removeExpired: (before) => {
      lastUse.settle()
      database.run('DELETE FROM api_tokens WHERE expires_at <= $before', { before })
    },
    forgetProject: (projectId) => {
      database.run(
        `UPDATE api_tokens SET project_ids =
           (SELECT json_group_array(value) FROM json_each(api_tokens.project_ids) WHERE value <> $projectId)
         WHERE EXISTS (SELECT 1 FROM json_each(api_tokens.project_ids) WHERE value = $projectId)`,
        { projectId },
      )
      return database.all<TokenRow>("SELECT * FROM api_tokens WHERE project_ids = '[]'").map(parseRow)
    },
  }
}
