import type { Actor, CredentialKind } from './actor.ts'
import { INSTALL_ADMIN_NAME } from './actor.ts'
import { BUILT_IN_ROLES, type BuiltInRole, type Permission } from './permissions.ts'
import type { RoleStore } from './role-store.ts'

/** The permissions of a role by its built-in name or id; none for a role that is gone. */
export function permissionsOfRole(role: string, roles: Pick<RoleStore, 'find'>): readonly Permission[] {
  return isBuiltIn(role) ? BUILT_IN_ROLES[role] : (roles.find(role)?.permissions ?? [])
}

export function isBuiltIn(role: string): role is BuiltInRole {
  return Object.hasOwn(BUILT_IN_ROLES, role)
}

export interface UserActorParts {
  via: CredentialKind
  user: { id: string; username: string; is_super_admin: 0 | 1 }
  session_id: string | null
  token_id: string | null
  /** What the user may, by project. */
  grants: ReadonlyMap<string, readonly Permission[]>
  /** What an API token narrows it to; null narrows nothing. */
  only_permissions: readonly Permission[] | null
  only_projects: readonly string[] | null
}

/** The actor of a user's credentials: what the user may now, less what the token leaves out. */
export function createUserActor(parts: UserActorParts): Actor {
  const { user, grants, only_permissions: permissions, only_projects: projects } = parts
  const isSuper = user.is_super_admin === 1
  const inScope = (projectId: string): boolean => projects === null || projects.includes(projectId)
  const sees = (projectId: string): boolean => inScope(projectId) && (isSuper || grants.has(projectId))
  const granted = (permission: Permission, projectId: string): boolean =>
    sees(projectId) && (isSuper || grants.get(projectId)?.includes(permission) === true)

  return {
    via: parts.via,
    user_id: user.id,
    name: user.username,
    session_id: parts.session_id,
    token_id: parts.token_id,
    // Node-wide powers go with the whole account only, never with a narrowed token.
    is_super_admin: isSuper && permissions === null && projects === null,
    can: (permission, projectId) => {
      if (permissions !== null && !permissions.includes(permission)) return false
      if (projectId !== undefined) return granted(permission, projectId)
      return isSuper || [...grants.keys()].some((each) => granted(permission, each))
    },
    sees,
    visibleProjects: () => {
      if (isSuper) return projects ?? 'all'
      return [...grants.keys()].filter(inScope)
    },
  }
}

/** The actor of the install admin token: everything until the first administrator exists, then nothing but recovery. */
export function createInstallAdmin(initialized: boolean): Actor {
  return {
    via: 'admin_token',
    user_id: null,
    name: INSTALL_ADMIN_NAME,
    session_id: null,
    token_id: null,
    is_super_admin: !initialized,
    can: () => !initialized,
    sees: () => !initialized,
    visibleProjects: () => (initialized ? [] : 'all'),
  }
}
