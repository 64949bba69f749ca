import { createLastUse } from '../../lib/last-use.ts'
import type { Database, SqlParameters } from '../../store/database.ts'

/** A row of sessions. */
export interface SessionRow {
  id: string
  user_id: string
  token_hash: Buffer
  client_address: string
  user_agent: string
  created_at: string
  last_seen_at: string
  /** The absolute end; idleness may end it before. */
  expires_at: string
}

export interface SessionStore {
  insert(row: SessionRow): void
  findByHash(tokenHash: Buffer): SessionRow | undefined
  find(id: string): SessionRow | undefined
  /** Newest first. */
  listOfUser(userId: string, limit: number, before?: string): SessionRow[]
  /** It is used now. That this cannot be written is told to `onError`, and every answer of this store goes by it all the same. */
  touch(id: string, now: string): void
  /** Answers whether it was there. */
  remove(id: string, userId: string): boolean
  /** All of the user's, but for the one that is spared; answers how many. */
  removeOfUser(userId: string, spare?: string): number
  /** Keeps the newest `keep` of the user's. */
  trimOfUser(userId: string, keep: number): void
  /** Drops what ended by itself; answers how many. */
  removeExpired(now: string, idleSince: string): number
}

/** Sessions, found by the hash of their token. */
export function createSessionStore(database: Database, onError: (error: unknown) => void): SessionStore {
  const lastUse = createLastUse((id, now) => {
    database.run('UPDATE sessions SET last_seen_at = $now WHERE id = $id', { id, now })
  }, onError)
  const seen = (row: SessionRow): SessionRow => ({
    ...row,
    last_seen_at: lastUse.of(row.id, row.last_seen_at),
  })
  const findSeen = (sql: string, parameters: SqlParameters): SessionRow | undefined => {
    const row = database.get<SessionRow>(sql, parameters)
    return row && seen(row)
  }

  return {
    insert: (row) => {
      database.run(
        `INSERT INTO sessions (id, user_id, token_hash, client_address, user_agent, created_at, last_seen_at, expires_at)
         VALUES ($id, $user_id, $token_hash, $client_address, $user_agent, $created_at, $last_seen_at, $expires_at)`,
        { ...row },
      )
    },
    findByHash: (tokenHash) =>
      findSeen('SELECT * FROM sessions WHERE token_hash = $tokenHash', { tokenHash }),
    find: (id) => findSeen('SELECT * FROM sessions WHERE id = $id', { id }),
    listOfUser: (userId, limit, before) =>
      database
        .all<SessionRow>(
          `SELECT * FROM sessions WHERE user_id = $userId AND id < coalesce($before, '~')
           ORDER BY id DESC LIMIT $limit`,
          { userId, before: before ?? null, limit },
        )
        .map(seen),
    touch: lastUse.note,
    remove: (id, userId) =>
      database.run('DELETE FROM sessions WHERE id = $id AND user_id = $userId', { id, userId }) > 0,
    removeOfUser: (userId, spare) =>
      database.run('DELETE FROM sessions WHERE user_id = $userId AND id IS NOT $spare', {
        userId,
        spare: spare ?? null,
      }),
    trimOfUser: (userId, keep) => {
      database.run(
        `DELETE FROM sessions WHERE user_id = $userId AND id NOT IN
         (SELECT id FROM sessions WHERE user_id = $userId ORDER BY id DESC LIMIT $keep)`,
        { userId, keep },
      )
    },
    removeExpired: (now, idleSince) => {
      lastUse.settle()
      return database.run('DELETE FROM sessions WHERE expires_at <= $now OR last_seen_at <= $idleSince', {
        now,
        idleSince,
      })
    },
  }
}
