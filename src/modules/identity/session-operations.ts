import { AppError, isAppError } from '../../lib/errors.ts'
import { type Page, pageOf, type PageRequest } from '../../lib/page.ts'
import type { System } from '../../lib/system.ts'
import { createTarpit } from '../../lib/tarpit.ts'
import type { Database } from '../../store/database.ts'
import type { RecordAudit } from '../audit/audit.ts'
import { RefusedLogin } from './authorize.ts'
import type { Context } from './context.ts'
import { newToken } from './credential.ts'
import type { ChangePasswordBody, LoginBody, Session } from './identity-schema.ts'
import type { AttemptOutcome, LoginThrottle } from './login-throttle.ts'
import type { Passwords } from './password.ts'
import type { SessionRow, SessionStore } from './session-store.ts'
import type { TokenStore } from './token-store.ts'
import { toUser, type UserEntity } from './user-operations.ts'
import type { UserRow, UserStore } from './user-store.ts'

export interface SessionDeps {
  database: Database
  system: System
  record: RecordAudit
  passwords: Passwords
  throttle: LoginThrottle
  users: UserStore
  sessions: SessionStore
  tokens: TokenStore
  settings: { session_idle_seconds: number; session_max_seconds: number }
}

/** What is known of someone who is not signed in. */
export interface Client {
  readonly request_id: string
  readonly client_address: string
  readonly user_agent: string
}

export interface SessionOperations {
  /**
   * Begins a session. Throws UNAUTHENTICATED for an unknown user and a wrong password alike, after the same time; RATE_LIMITED after
   * five failures; BUSY when too many logins wait.
   */
  login(client: Client, body: LoginBody): Promise<{ token: string; expires_at: string; user: UserEntity }>
  /**
   * The user whom the password belongs to, at the revision at which it did, under the same throttle as login; for other ways in, such as the
   * registry's. Throws what login throws.
   */
  verifyPassword(clientAddress: string, body: LoginBody): Promise<UserEntity>
  /** Ends the session that asks. */
  logout(context: Context): void
  listSessions(context: Context, page: PageRequest): Page<Session>
  /** Ends all of the caller's sessions, also the one that asks. */
  endSessions(context: Context): void
  /** Throws NOT_FOUND for what is not the caller's. */
  endSession(context: Context, id: string): void
  /** Ends the caller's other sessions and, if asked to, API tokens. Throws VALIDATION_ERROR when the current password is wrong; that counts as a failed login. */
  changePassword(context: Context, body: ChangePasswordBody): Promise<void>
}

const MAX_SESSIONS_PER_USER = 100

export function createSessionOperations(deps: SessionDeps): SessionOperations {
  const { database, system, users, sessions, record } = deps
  const tarpit = createTarpit(system)

  const tryPassword = async (clientAddress: string, { username, password }: LoginBody): Promise<UserRow> => {
    const refused = new RefusedLogin(users.findByName(username))
    const attempt = await deps.throttle.attempt(clientAddress, username, refused)
    let outcome: AttemptOutcome = 'abandoned'
    try {
      const row = users.findByName(username)
      const fits = await deps.passwords.verify(password, row?.password_hash)
      const now = row && fits ? users.find(row.id) : undefined
      // The password may have been reset, or the user deleted, while it was being checked.
      outcome = now && now.password_hash === row?.password_hash ? 'succeeded' : 'failed'
      if (now && outcome === 'succeeded') return now
    } finally {
      attempt.end(outcome)
    }
    throw new AppError('UNAUTHENTICATED', {
      message: 'The username or the password is wrong.',
      cause: refused,
    })
  }

  const checkPassword = async (clientAddress: string, given: LoginBody): Promise<UserRow> => {
    try {
      return await tryPassword(clientAddress, given)
    } catch (error) {
      if (isAppError(error, 'BUSY') || isAppError(error, 'RATE_LIMITED')) await tarpit.hold()
      throw error
    }
  }

  const begin = (row: UserRow, client: Client) => {
    const token = newToken('session', system)
    const session: SessionRow = {
      id: system.newId(),
      user_id: row.id,
      token_hash: token.hash,
      client_address: client.client_address,
      user_agent: client.user_agent,
      created_at: system.nowIso(),
      last_seen_at: system.nowIso(),
      expires_at: new Date(system.now() + deps.settings.session_max_seconds * 1000).toISOString(),
    }
    sessions.insert(session)
    sessions.trimOfUser(row.id, MAX_SESSIONS_PER_USER)
    const actor = { via: 'session', user_id: row.id, token_id: null, name: row.username } as const
    record({ ...client, actor }, { action: 'login', resource_kind: 'session', resource_id: session.id })
    return { token: token.plaintext, expires_at: session.expires_at, user: toUser(row) }
  }

  return {
    login: async (client, body) => {
      const verified = await checkPassword(client.client_address, body)
      return database.transact(() => {
        const row = users.find(verified.id)
        // Others may have had their turn since the check.
        if (row?.password_hash !== verified.password_hash) throw new AppError('UNAUTHENTICATED')
        return begin(row, client)
      })
    },
    verifyPassword: async (clientAddress, body) => toUser(await checkPassword(clientAddress, body)),
    logout: (context) => {
      const { user_id: userId, session_id: id } = context.actor
      if (userId === null || id === null) return
      database.transact(() => {
        sessions.remove(id, userId)
        record(context, { action: 'logout', resource_kind: 'session', resource_id: id })
      })
    },
    listSessions: (context, { limit, after }) => {
      const { user_id: userId, session_id: current } = context.actor
      if (userId === null) return { items: [] }
      const since = system.now() - deps.settings.session_idle_seconds * 1000
      const page = pageOf(sessions.listOfUser(userId, limit + 1, after), limit, (row) => row.id)
      const alive = page.items.filter(
        (row) => Date.parse(row.last_seen_at) > since && Date.parse(row.expires_at) > system.now(),
      )
      return { ...page, items: alive.map((row) => toSession(row, current)) }
    },
    endSessions: (context) => {
      const { user_id: userId } = context.actor
      if (userId === null) return
      database.transact(() => {
        const ended = sessions.removeOfUser(userId)
        record(context, { action: 'endSessions', resource_kind: 'session', details: { ended } })
      })
    },
    endSession: (context, id) => {
      database.transact(() => {
        const { user_id: userId } = context.actor
        if (userId === null || !sessions.remove(id, userId)) throw new AppError('NOT_FOUND')
        record(context, { action: 'endSession', resource_kind: 'session', resource_id: id })
      })
    },
    changePassword: async (context, body) => {
      const { name: username, session_id: own } = context.actor
      const verified = await checkPassword(context.client_address ?? '', {
        username,
        password: body.current,
      }).catch(blameCurrent)
      const hash = await deps.passwords.hash(body.new)
      database.transact(() => {
        if (users.find(verified.id)?.password_hash !== verified.password_hash)
          throw new AppError('UNAUTHENTICATED')
        users.setPassword(verified.id, hash, system.nowIso())
        const ended_sessions = sessions.removeOfUser(verified.id, own ?? undefined)
        const tokens = body.end_tokens
          ? { ended_tokens: deps.tokens.removeOfUser(verified.id, system.nowIso()) }
          : { kept_tokens: deps.tokens.countLive(verified.id, system.nowIso()) }
        record(context, {
          action: 'changePassword',
          resource_kind: 'user',
          resource_id: verified.id,
          details: { ended_sessions, ...tokens },
        })
      })
    },
  }
}

/** Not a 401: the session is as good as before. */
function blameCurrent(error: unknown): never {
  if (!isAppError(error, 'UNAUTHENTICATED')) throw error
  const details = [{ field: 'current', message: 'is not the current password' }]
  throw new AppError('VALIDATION_ERROR', { details, cause: error.cause })
}

function toSession(row: SessionRow, current: string | null): Session {
  const { token_hash: _, user_id: __, ...rest } = row
  return { ...rest, current: row.id === current }
}
