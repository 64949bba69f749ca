import { AppError } from '../../lib/errors.ts'
import { type Page, pageOf, type PageRequest } from '../../lib/page.ts'
import { requireUnchanged } from '../../lib/revision.ts'
import type { System } from '../../lib/system.ts'
import type { Database } from '../../store/database.ts'
import type { RecordAudit } from '../audit/audit.ts'
import type { Context } from './context.ts'
import type {
  BootstrapBody,
  CreateUserBody,
  DirectoryEntry,
  UpdateUserBody,
  User,
} from './identity-schema.ts'
import type { MemberStore } from './member-store.ts'
import type { Passwords } from './password.ts'
import type { SessionStore } from './session-store.ts'
import type { TokenStore } from './token-store.ts'
import type { UserRow, UserStore } from './user-store.ts'

export interface UserDeps {
  database: Database
  system: System
  record: RecordAudit
  passwords: Passwords
  users: UserStore
  sessions: SessionStore
  tokens: TokenStore
  members: MemberStore
}

/** How many credentials a new password ended, for the audit log. */
type Ended = Record<string, number>

/** A user as answered; the revision becomes the entity tag. */
export type UserEntity = User & { revision: number }

export interface UserOperations {
  /** Makes the first administrator, for the holder of the install admin token. Throws ALREADY_INITIALIZED ever after. */
  bootstrap(context: Context, body: BootstrapBody): Promise<UserEntity>
  listUsers(context: Context, page: PageRequest): Page<User>
  /** Throws NAME_TAKEN. */
  createUser(context: Context, body: CreateUserBody): Promise<UserEntity>
  getUser(context: Context, id: string): UserEntity
  /** Resets the password, which ends the user's sessions and, unless they are to be kept, API tokens; or the flag. Throws LAST_ADMIN. */
  updateUser(context: Context, id: string, body: UpdateUserBody): Promise<UserEntity>
  /** Throws LAST_ADMIN for the last super-admin and for a project's only admin. */
  deleteUser(context: Context, id: string): void
  /** Ids and names only, for those who add members. */
  listUserDirectory(context: Context, page: PageRequest): Page<DirectoryEntry>
}

export function createUserOperations(deps: UserDeps): UserOperations {
  const { database, users, record } = deps

  const insert = (body: CreateUserBody, passwordHash: string): UserEntity => {
    if (users.findByName(body.username)) {
      throw new AppError('NAME_TAKEN', { details: [{ field: 'username', message: 'is taken' }] })
    }
    const now = deps.system.nowIso()
    const row: UserRow = {
      id: deps.system.newId(),
      username: body.username,
      password_hash: passwordHash,
      is_super_admin: body.is_super_admin === true ? 1 : 0,
      revision: 1,
      created_at: now,
      updated_at: now,
    }
    users.insert(row)
    return toUser(row)
  }

  // Whoever had the password may have made tokens with it.
  const endCredentials = (id: string, keepTokens: boolean): Ended => ({
    ended_sessions: deps.sessions.removeOfUser(id),
    ...(keepTokens
      ? { kept_tokens: deps.tokens.countLive(id, deps.system.nowIso()) }
      : { ended_tokens: deps.tokens.removeOfUser(id, deps.system.nowIso()) }),
  })

  return {
    bootstrap: async (context, body) => {
      refuseSecondBootstrap(users)
      const hash = await deps.passwords.hash(body.password)
      return database.transact(() => {
        refuseSecondBootstrap(users)
        const user = insert({ ...body, is_super_admin: true }, hash)
        record(context, auditOf('bootstrap', user))
        return user
      })
    },
    listUsers: (_context, { limit, after }) => {
      const page = pageOf(users.list(limit + 1, after), limit, (row) => row.id)
      return { ...page, items: page.items.map(toUser) }
    },
    createUser: async (context, body) => {
      const hash = await deps.passwords.hash(body.password)
      return database.transact(() => {
        const user = insert(body, hash)
        record(context, auditOf('createUser', user, { is_super_admin: user.is_super_admin }))
        return user
      })
    },
    getUser: (_context, id) => toUser(requireUser(users, id)),
    updateUser: async (context, id, body) => {
      requireUnchanged(context, requireUser(users, id))
      refuseLoneKeepTokens(body)
      const hash = body.password === undefined ? undefined : await deps.passwords.hash(body.password)
      return database.transact(() => {
        const row = requireUser(users, id)
        requireUnchanged(context, row)
        const now = deps.system.nowIso()
        const changed: string[] = []
        let ended: Ended = {}
        if (body.is_super_admin !== undefined && body.is_super_admin !== (row.is_super_admin === 1)) {
          if (!body.is_super_admin) refuseLastSuperAdmin(users, row)
          users.setSuperAdmin(id, body.is_super_admin, now)
          changed.push('is_super_admin')
        }
        if (hash !== undefined) {
          users.setPassword(id, hash, now)
          ended = endCredentials(id, body.keep_tokens === true)
          changed.push('password')
        }
        const user = toUser(requireUser(users, id))
        record(
          context,
          auditOf('updateUser', user, { changed, is_super_admin: user.is_super_admin, ...ended }),
        )
        return user
      })
    },
    deleteUser: (context, id) => {
      database.transact(() => {
        const row = requireUser(users, id)
        requireUnchanged(context, row)
        refuseLastSuperAdmin(users, row)
        const orphaned = deps.members.soleHolderOf(id, 'admin')
        if (orphaned.length > 0) {
          const details = orphaned
            .slice(0, 20)
            .map((name) => ({ message: `is the only admin of project ${name}` }))
          throw new AppError('LAST_ADMIN', { details })
        }
        users.remove(id)
        record(context, auditOf('deleteUser', toUser(row)))
      })
    },
    listUserDirectory: (_context, { limit, after }) =>
      pageOf(users.directory(limit + 1, after), limit, (row) => row.username),
  }
}

/** The user as answered: never the hash. */
export function toUser(row: UserRow): UserEntity {
  const { password_hash: _, is_super_admin: flag, ...rest } = row
  return { ...rest, is_super_admin: flag === 1 }
}

function requireUser(users: UserStore, id: string): UserRow {
  const row = users.find(id)
  if (!row) throw new AppError('NOT_FOUND')
  return row
}

function refuseLoneKeepTokens({ keep_tokens, password }: UpdateUserBody): void {
  if (keep_tokens === undefined || password !== undefined) return
  const details = [{ field: 'keep_tokens', message: 'belongs to a new password' }]
  throw new AppError('VALIDATION_ERROR', { details })
}

function refuseSecondBootstrap(users: UserStore): void {
  if (users.countSuperAdmins() > 0) throw new AppError('ALREADY_INITIALIZED')
}

function refuseLastSuperAdmin(users: UserStore, row: UserRow): void {
  if (row.is_super_admin === 1 && users.countSuperAdmins() === 1) throw new AppError('LAST_ADMIN')
}

function auditOf(
  action: string,
  user: UserEntity,
  details: Record<string, string[] | boolean | number> = {},
) {
  return {
    action,
    resource_kind: 'user',
    resource_id: user.id,
    details: { username: user.username, ...details },
  }
}
