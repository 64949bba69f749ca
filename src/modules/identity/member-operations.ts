import { AppError } from '../../lib/errors.ts'
import { type Page, pageOf, type PageRequest } from '../../lib/page.ts'
import type { System } from '../../lib/system.ts'
import type { Database } from '../../store/database.ts'
import type { RecordAudit } from '../audit/audit.ts'
import type { Actor } from './actor.ts'
import { requirePermission } from './authorize.ts'
import type { Context } from './context.ts'
import type { Me, Member, Membership, PutMemberBody } from './identity-schema.ts'
import type { MemberStore, NamedMember } from './member-store.ts'
import { PERMISSION_NAMES } from './permissions.ts'
import type { RoleStore } from './role-store.ts'
import { isBuiltIn, permissionsOfRole } from './user-actor.ts'
import type { UserStore } from './user-store.ts'

export interface MemberDeps {
  database: Database
  system: System
  record: RecordAudit
  users: UserStore
  members: MemberStore
  roles: RoleStore
}

export interface MemberOperations {
  /** Who calls, where they belong and what they may. */
  getMe(context: Context): Me
  /** By name. */
  listMembers(context: Context, projectId: string, page: PageRequest): Page<Member>
  /**
   * Adds a member or changes their role; answers whether they are new. Throws FORBIDDEN for a role that may more than the caller,
   * LAST_ADMIN when no admin would be left.
   */
  putMember(context: Context, projectId: string, body: PutMemberBody): { member: Member; added: boolean }
  /** Throws LAST_ADMIN when no admin would be left. */
  removeMember(context: Context, projectId: string, userId: string): void
}

export function createMemberOperations(deps: MemberDeps): MemberOperations {
  const { database, users, members, roles, record } = deps

  const toMember = ({ user_id, username, role, created_at }: NamedMember): Member => ({
    user_id,
    username,
    role,
    role_name: roleName(role, roles),
    created_at,
  })

  const membershipsOf = (userId: string | null, actor: Actor): Membership[] =>
    (userId === null ? [] : members.listOfUser(userId))
      .filter(({ project_id }) => actor.sees(project_id))
      .map(({ project_id, project_name, role }) => ({
        project_id,
        project_name,
        role,
        role_name: roleName(role, roles),
        permissions: PERMISSION_NAMES.filter((permission) => actor.can(permission, project_id)),
      }))

  return {
    getMe: ({ actor }) => {
      const { via } = actor
      // Berth itself sends no requests.
      if (via === 'system') throw new AppError('UNAUTHENTICATED')
      return {
        principal: {
          kind: actor.user_id === null ? 'admin_token' : 'user',
          via,
          id: actor.user_id,
          username: actor.name,
          session_id: actor.session_id,
          token_id: actor.token_id,
        },
        is_super_admin: actor.is_super_admin,
        admin_initialized: users.countSuperAdmins() > 0,
        memberships: membershipsOf(actor.user_id, actor),
        permissions: PERMISSION_NAMES.filter((permission) => actor.can(permission)),
      }
    },
    listMembers: (context, projectId, { limit, after }) => {
      requirePermission(context.actor, 'projects.read', projectId)
      const page = pageOf(members.listOfProject(projectId, limit + 1, after), limit, (row) => row.username)
      return { ...page, items: page.items.map(toMember) }
    },
    putMember: (context, projectId, { user_id: userId, role }) =>
      database.transact(() => {
        requirePermission(context.actor, 'members.write', projectId)
        const username = users.find(userId)?.username
        if (username === undefined) throw unknownField('user_id', `${userId} is not a user`)
        if (!isBuiltIn(role) && !roles.find(role)) throw unknownField('role', 'is not a role')
        const before = members.find(projectId, userId)
        requireAtLeast(context.actor, role, projectId, roles)
        if (before) requireAtLeast(context.actor, before.role, projectId, roles)
        if (before?.role === 'admin' && role !== 'admin') refuseLastAdmin(members, projectId, userId)
        const row = {
          project_id: projectId,
          user_id: userId,
          role,
          created_at: before?.created_at ?? deps.system.nowIso(),
        }
        members.put(row)
        const details = {
          username,
          role: roleName(role, roles),
          ...(before ? { before: roleName(before.role, roles) } : {}),
        }
        record(context, { ...auditOf(projectId, userId), action: 'putMember', details })
        return { member: toMember({ ...row, username }), added: before === undefined }
      }),
    removeMember: (context, projectId, userId) => {
      database.transact(() => {
        requirePermission(context.actor, 'members.write', projectId)
        const before = members.find(projectId, userId)
        if (!before) throw new AppError('NOT_FOUND')
        requireAtLeast(context.actor, before.role, projectId, roles)
        if (before.role === 'admin') refuseLastAdmin(members, projectId, userId)
        members.remove(projectId, userId)
        const details = { username: users.find(userId)?.username ?? '', before: roleName(before.role, roles) }
        record(context, { ...auditOf(projectId, userId), action: 'removeMember', details })
      })
    },
  }
}

function auditOf(projectId: string, userId: string) {
  return { resource_kind: 'member', resource_id: userId, project_id: projectId }
}

function roleName(role: string, roles: RoleStore): string {
  return isBuiltIn(role) ? role : (roles.find(role)?.name ?? role)
}

/** Nobody gives or takes a role that may more than they do: else a custom role with `members.write` would be worth an admin. */
function requireAtLeast(actor: Actor, role: string, projectId: string, roles: RoleStore): void {
  const missing = permissionsOfRole(role, roles).find((permission) => !actor.can(permission, projectId))
  if (missing !== undefined) throw new AppError('FORBIDDEN', { permission: missing })
}

function refuseLastAdmin(members: MemberStore, projectId: string, userId: string): void {
  if (members.countWithRole(projectId, 'admin', userId) === 0) throw new AppError('LAST_ADMIN')
}

function unknownField(field: string, message: string): AppError {
  return new AppError('VALIDATION_ERROR', { details: [{ field, message }] })
}
