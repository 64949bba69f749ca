import type { System } from '../../lib/system.ts'
import { TOKEN_PREFIXES } from '../../lib/token-prefix.ts'
import type { Authenticate, Authentication, Credentials } from './actor.ts'
import { hashToken, sameHash } from './credential.ts'
import type { MemberStore } from './member-store.ts'
import type { Permission } from './permissions.ts'
import type { RoleStore } from './role-store.ts'
import type { SessionRow, SessionStore } from './session-store.ts'
import type { TokenStore } from './token-store.ts'
import { createInstallAdmin, createUserActor, permissionsOfRole, type UserActorParts } from './user-actor.ts'
import type { UserStore } from './user-store.ts'

export interface AuthenticatorDeps {
  system: System
  /** The SHA-256 of the install admin token. */
  adminTokenHash: Buffer
  users: UserStore
  sessions: SessionStore
  tokens: TokenStore
  members: MemberStore
  roles: RoleStore
  sessionIdleSeconds: number
  /** Told of each use of the install admin token once an administrator exists, at most once a minute and address. */
  onRecovery: (clientAddress: string) => void
  /** Told what `onRecovery` throws: the node's owner gets in, and the next use is told of again. */
  onError: (error: unknown) => void
}

/** `last_seen_at` and `last_used_at` may lag by this much, so that a read is not a write each time. */
const TOUCH_EVERY_MS = 60_000
const MAX_RECOVERY_ADDRESSES = 1000

/** Makes the function that says who credentials belong to, read from the rows each time. */
export function createAuthenticator(deps: AuthenticatorDeps): Authenticate {
  const { system, users } = deps
  const idleMs = deps.sessionIdleSeconds * 1000
  const touchEveryMs = Math.min(TOUCH_EVERY_MS, idleMs / 4)

  const idleEnd = (session: SessionRow): number =>
    Math.min(Date.parse(session.expires_at), Date.parse(session.last_seen_at) + idleMs)

  const actorOf = (
    userId: string,
    parts: Omit<UserActorParts, 'user' | 'grants'>,
    expiresAtMs: number,
  ): Authentication | undefined => {
    const user = users.find(userId)
    return (
      user && {
        actor: createUserActor({ ...parts, user, grants: grantsOf(userId) }),
        expires_at_ms: expiresAtMs,
      }
    )
  }

  const grantsOf = (userId: string): Map<string, readonly Permission[]> =>
    new Map(
      deps.members
        .listOfUser(userId)
        .map(({ project_id, role }) => [project_id, permissionsOfRole(role, deps.roles)]),
    )

  const fromSession = (hash: Buffer, from: Credentials['from']): Authentication | undefined => {
    const session = deps.sessions.findByHash(hash)
    const now = system.now()
    if (!session || idleEnd(session) <= now) return undefined
    // Also one that was seen later than now, before the clock was set back.
    if (Math.abs(now - Date.parse(session.last_seen_at)) > touchEveryMs) {
      session.last_seen_at = system.nowIso()
      deps.sessions.touch(session.id, session.last_seen_at)
    }
    const parts = { session_id: session.id, token_id: null, only_permissions: null, only_projects: null }
    return actorOf(
      session.user_id,
      { ...parts, via: from === 'cookie' ? 'cookie' : 'session' },
      idleEnd(session),
    )
  }

  const fromApiToken = (hash: Buffer): Authentication | undefined => {
    const token = deps.tokens.findByHash(hash)
    const expiresAtMs = token?.expires_at ? Date.parse(token.expires_at) : Number.POSITIVE_INFINITY
    const now = system.now()
    if (!token || expiresAtMs <= now) return undefined
    if (token.last_used_at === null || Math.abs(now - Date.parse(token.last_used_at)) > TOUCH_EVERY_MS) {
      deps.tokens.touch(token.id, system.nowIso())
    }
    const limits = { only_permissions: token.permissions, only_projects: token.project_ids }
    return actorOf(
      token.user_id,
      { via: 'api_token', session_id: null, token_id: token.id, ...limits },
      expiresAtMs,
    )
  }

  const recoveries = new Map<string, number>()
  const noteRecovery = (clientAddress: string): void => {
    const last = recoveries.get(clientAddress)
    if (last !== undefined && system.monotonic() - last < TOUCH_EVERY_MS) return
    if (recoveries.size >= MAX_RECOVERY_ADDRESSES) recoveries.clear()
    try {
      deps.onRecovery(clientAddress)
      recoveries.set(clientAddress, system.monotonic())
    } catch (error) {
      deps.onError(error)
    }
  }

  return ({ token, from, client_address }) => {
    const hash = hashToken(token)
    if (from === 'header' && sameHash(hash, deps.adminTokenHash)) {
      const initialized = users.countSuperAdmins() > 0
      if (initialized) noteRecovery(client_address)
      return { actor: createInstallAdmin(initialized), expires_at_ms: Number.POSITIVE_INFINITY }
    }
    if (token.startsWith(TOKEN_PREFIXES.session)) return fromSession(hash, from)
    if (token.startsWith(TOKEN_PREFIXES.api) && from === 'header') return fromApiToken(hash)
    return undefined
  }
}
