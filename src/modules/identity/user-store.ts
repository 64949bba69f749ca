import type { Database } from '../../store/database.ts'

/** A row of users. */
export interface UserRow {
  id: string
  username: string
  password_hash: string
  is_super_admin: 0 | 1
  revision: number
  created_at: string
  updated_at: string
}

export interface UserStore {
  insert(row: UserRow): void
  find(id: string): UserRow | undefined
  /** Case does not matter. */
  findByName(username: string): UserRow | undefined
  /** Newest first. */
  list(limit: number, before?: string): UserRow[]
  /** By name. */
  directory(limit: number, after?: string): { id: string; username: string }[]
  countSuperAdmins(): number
  setPassword(id: string, passwordHash: string, now: string): void
  setSuperAdmin(id: string, isSuperAdmin: boolean, now: string): void
  remove(id: string): void
}

/** The users of this node. */
export function createUserStore(database: Database): UserStore {
  return {
    insert: (row) => {
      database.run(
        `INSERT INTO users (id, username, password_hash, is_super_admin, revision, created_at, updated_at)
         VALUES ($id, $username, $password_hash, $is_super_admin, $revision, $created_at, $updated_at)`,
        { ...row },
      )
    },
    find: (id) => database.get<UserRow>('SELECT * FROM users WHERE id = $id', { id }),
    findByName: (username) =>
      database.get<UserRow>('SELECT * FROM users WHERE username = $username', { username }),
    list: (limit, before) =>
      database.all<UserRow>(
        "SELECT * FROM users WHERE id < coalesce($before, '~') ORDER BY id DESC LIMIT $limit",
        { before: before ?? null, limit },
      ),
    directory: (limit, after) =>
      database.all(
        "SELECT id, username FROM users WHERE username > coalesce($after, '') ORDER BY username LIMIT $limit",
        { after: after ?? null, limit },
      ),
    countSuperAdmins: () =>
      database.get<{ count: number }>('SELECT count(*) AS count FROM users WHERE is_super_admin = 1')
        ?.count ?? 0,
    setPassword: (id, passwordHash, now) => {
      database.run(
        'UPDATE users SET password_hash = $passwordHash, revision = revision + 1, updated_at = $now WHERE id = $id',
        { id, passwordHash, now },
      )
    },
    setSuperAdmin: (id, isSuperAdmin, now) => {
      database.run(
        'UPDATE users SET is_super_admin = $flag, revision = revision + 1, updated_at = $now WHERE id = $id',
        { id, flag: isSuperAdmin ? 1 : 0, now },
      )
    },
    remove: (id) => {
      database.run('DELETE FROM users WHERE id = $id', { id })
    },
  }
}
