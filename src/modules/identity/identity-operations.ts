import type { Config } from '../../config.ts'
import type { System } from '../../lib/system.ts'
import type { Database } from '../../store/database.ts'
import type { RecordAudit } from '../audit/audit.ts'
import { type Authenticate, INSTALL_ADMIN_NAME } from './actor.ts'
import { createAuthenticator } from './authenticator.ts'
import { hashToken } from './credential.ts'
import { createIdempotency, type Idempotency } from './idempotency.ts'
import { createLoginThrottle } from './login-throttle.ts'
import { createMemberOperations, type MemberOperations } from './member-operations.ts'
import { createMemberStore } from './member-store.ts'
import { createPasswords, type Passwords } from './password.ts'
import { createPrincipals, type Principals } from './principal.ts'
import type { Permission } from './permissions.ts'
import { createRoleOperations, type RoleOperations } from './role-operations.ts'
import { createRoleStore } from './role-store.ts'
import { createSessionOperations, type SessionOperations } from './session-operations.ts'
import { createSessionStore } from './session-store.ts'
import { createTokenOperations, type TokenOperations } from './token-operations.ts'
import { createTokenStore } from './token-store.ts'
import { createUserOperations, type UserOperations } from './user-operations.ts'
import { createUserStore } from './user-store.ts'

export interface IdentityDeps {
  database: Database
  system: System
  record: RecordAudit
  /** What `ensureAdminToken` answered. */
  adminToken: string
  settings: Pick<Config, 'session_idle_seconds' | 'session_max_seconds'>
  /** Told of what is known of a use of credentials and could not be written; the request goes on. */
  onError: (error: unknown) => void
  /** For tests that make many users. */
  passwords?: Passwords
}

export interface IdentityOperations {
  authenticate: Authenticate
  /** For tokens that are derived from others: the registry's. */
  principals: Principals
  /** Whether a user has a permission in a project at this moment; not when they have gone. */
  userMay(userId: string, permission: Permission, projectId: string): boolean
  users: UserOperations
  sessions: SessionOperations
  tokens: TokenOperations
  members: MemberOperations
  roles: RoleOperations
  idempotency: Idempotency
  /** Drops what ended by itself: sessions, API tokens (after a week) and remembered answers. Run it now and then. */
  removeExpired(): void
}

/** Expired API tokens stay in the list for so long, so that their owner sees why something stopped working. */
const EXPIRED_TOKENS_KEPT_MS = 7 * 86_400_000

/** Who there is, how they prove it, and what they may do where. */
export function createIdentity(deps: IdentityDeps): IdentityOperations {
  const { database, system, record, settings } = deps
  const passwords = deps.passwords ?? createPasswords({ system })
  const users = createUserStore(database)
  const sessions = createSessionStore(database, deps.onError)
  const tokens = createTokenStore(database, deps.onError)
  const members = createMemberStore(database)
  const roles = createRoleStore(database)
  const idempotency = createIdempotency({ database, system, adminToken: deps.adminToken })
  const shared = { database, system, record }
  const principals = createPrincipals({
    system,
    users,
    sessions,
    tokens,
    members,
    roles,
    sessionIdleSeconds: settings.session_idle_seconds,
  })

  return {
    authenticate: createAuthenticator({
      system,
      adminTokenHash: hashToken(deps.adminToken),
      users,
      sessions,
      tokens,
      members,
      roles,
      sessionIdleSeconds: settings.session_idle_seconds,
      onError: deps.onError,
      onRecovery: (client_address) => {
        const actor = { via: 'admin_token', user_id: null, token_id: null, name: INSTALL_ADMIN_NAME } as const
        record({ actor, request_id: null, client_address }, { action: 'useInstallAdminToken' })
      },
    }),
    principals,
    userMay: (user_id, permission, projectId) => {
      const whole = { user_id, token_id: null, session_id: null, user_revision: null }
      return principals.actorOf(whole)?.can(permission, projectId) === true
    },
    users: createUserOperations({ ...shared, passwords, users, sessions, tokens, members }),
    sessions: createSessionOperations({
      ...shared,
      passwords,
      throttle: createLoginThrottle(system),
      users,
      sessions,
      tokens,
      settings,
    }),
    tokens: createTokenOperations({ ...shared, tokens, members }),
    members: createMemberOperations({ ...shared, users, members, roles }),
    roles: createRoleOperations({ ...shared, roles, members }),
    idempotency,
    removeExpired: () => {
      const idleSince = new Date(system.now() - settings.session_idle_seconds * 1000).toISOString()
      sessions.removeExpired(system.nowIso(), idleSince)
      tokens.removeExpired(new Date(system.now() - EXPIRED_TOKENS_KEPT_MS).toISOString())
      idempotency.removeExpired()
    },
  }
}
