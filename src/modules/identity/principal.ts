import type { Actor } from './actor.ts'
import type { MemberStore } from './member-store.ts'
import type { Permission } from './permissions.ts'
import type { RoleStore } from './role-store.ts'
import type { SessionStore } from './session-store.ts'
import type { TokenStore } from './token-store.ts'
import { createUserActor, permissionsOfRole } from './user-actor.ts'
import type { UserStore } from './user-store.ts'
import type { System } from '../../lib/system.ts'

/** Whose credentials were shown once, without the credentials: what tokens that are derived from them carry. */
export interface Principal {
  readonly user_id: string
  readonly token_id: string | null
  readonly session_id: string | null
  /** For a password: the user's revision, which a new password raises. */
  readonly user_revision: number | null
}

export interface Principals {
  /** The principal of a user whose password was proven at that revision. */
  ofPassword(user: { readonly id: string; readonly revision: number }): Principal
  /** The principal behind an actor; undefined for the install admin token, which is nobody. */
  ofActor(actor: Actor): Principal | undefined
  /** What the principal may now; undefined when the token, session or password is no longer good. */
  actorOf(principal: Principal): Actor | undefined
}

export interface PrincipalDeps {
  system: System
  users: UserStore
  sessions: SessionStore
  tokens: TokenStore
  members: MemberStore
  roles: RoleStore
  sessionIdleSeconds: number
}

/** Finds out what derived tokens are still worth. */
export function createPrincipals(deps: PrincipalDeps): Principals {
  const { system, users } = deps

  const sessionLives = (id: string): boolean => {
    const session = deps.sessions.find(id)
    if (!session) return false
    const idleEnd = Date.parse(session.last_seen_at) + deps.sessionIdleSeconds * 1000
    return Math.min(Date.parse(session.expires_at), idleEnd) > system.now()
  }

  const grantsOf = (userId: string): Map<string, readonly Permission[]> =>
    new Map(
      deps.members
        .listOfUser(userId)
        .map(({ project_id, role }) => [project_id, permissionsOfRole(role, deps.roles)]),
    )

  return {
    ofPassword: ({ id, revision }) => ({
      user_id: id,
      token_id: null,
      session_id: null,
      user_revision: revision,
    }),
    ofActor: ({ user_id, token_id, session_id }) =>
      user_id === null ? undefined : { user_id, token_id, session_id, user_revision: null },
    actorOf: ({ user_id, token_id, session_id, user_revision }) => {
      const user = users.find(user_id)
      if (!user || (user_revision !== null && user.revision !== user_revision)) return undefined
      if (session_id !== null && !sessionLives(session_id)) return undefined
      const token = token_id === null ? undefined : deps.tokens.find(token_id)
      if (token_id !== null && token === undefined) return undefined
      const tokenEnd = token?.expires_at ?? undefined
      if (tokenEnd !== undefined && Date.parse(tokenEnd) <= system.now()) return undefined
      return createUserActor({
        via: token_id === null ? 'session' : 'api_token',
        user,
        session_id,
        token_id,
        grants: grantsOf(user_id),
        only_permissions: token?.permissions ?? null,
        only_projects: token?.project_ids ?? null,
      })
    },
  }
}
