import { AppError } from '../../lib/errors.ts'
import { type Page, pageOf, type PageRequest } from '../../lib/page.ts'
import { requireUnchanged } from '../../lib/revision.ts'
import type { System } from '../../lib/system.ts'
import type { Database } from '../../store/database.ts'
import type { RecordAudit } from '../audit/audit.ts'
import type { Context } from './context.ts'
import type { CreateRoleBody, Role, UpdateRoleBody } from './identity-schema.ts'
import type { MemberStore } from './member-store.ts'
import { BUILT_IN_ROLE_NAMES, BUILT_IN_ROLES } from './permissions.ts'
import type { RoleEntity, RoleStore } from './role-store.ts'
import { isBuiltIn } from './user-actor.ts'

export interface RoleDeps {
  database: Database
  system: System
  record: RecordAudit
  roles: RoleStore
  members: MemberStore
}

export type RevisedRole = Role & { revision: number }

export interface RoleOperations {
  /** The built-in roles first, then the custom ones, newest first. */
  listRoles(page: PageRequest): Page<Role>
  /** Throws NAME_TAKEN. */
  createRole(context: Context, body: CreateRoleBody): RevisedRole
  /** Acts at once for everyone who has the role. Throws NAME_TAKEN; CONFLICT for a built-in role. */
  updateRole(context: Context, id: string, body: UpdateRoleBody): RevisedRole
  /** Throws CONFLICT for a built-in role and while a member has the role. */
  deleteRole(context: Context, id: string): void
}

const MAX_CUSTOM_ROLES = 200

const DESCRIPTIONS = {
  viewer: 'Sees everything but values and logs',
  operator: 'Changes and deploys services',
  admin: 'Everything in a project, also its members',
} as const

const BUILT_IN: readonly Role[] = BUILT_IN_ROLE_NAMES.map((name) => ({
  id: name,
  name,
  description: DESCRIPTIONS[name],
  permissions: [...BUILT_IN_ROLES[name]],
  built_in: true,
}))

export function createRoleOperations(deps: RoleDeps): RoleOperations {
  const { database, system, roles, record } = deps

  const requireCustom = (id: string): RoleEntity => {
    if (isBuiltIn(id)) throw new AppError('CONFLICT', { message: 'A built-in role is fixed.' })
    const role = roles.find(id)
    if (!role) throw new AppError('NOT_FOUND')
    return role
  }
  const refuseTakenName = (name: string, id: string): void => {
    const holder = roles.findByName(name)
    if (isBuiltIn(name) || (holder && holder.id !== id)) {
      throw new AppError('NAME_TAKEN', { details: [{ field: 'name', message: 'is taken' }] })
    }
  }

  return {
    listRoles: ({ limit, after }) => {
      const all: Role[] = [...BUILT_IN, ...roles.list(MAX_CUSTOM_ROLES).map(toRole)]
      const start = after === undefined ? 0 : all.findIndex((role) => role.id === after) + 1
      return pageOf(all.slice(start, start + limit + 1), limit, (role) => role.id)
    },
    createRole: (context, body) =>
      database.transact(() => {
        const now = system.nowIso()
        const id = system.newId()
        refuseTakenName(body.name, id)
        if (roles.count() >= MAX_CUSTOM_ROLES) {
          throw new AppError('POLICY_REFUSED', {
            message: `There are at most ${MAX_CUSTOM_ROLES} custom roles.`,
          })
        }
        const { name, description = '', permissions } = body
        const role: RoleEntity = {
          id,
          name,
          description,
          permissions,
          revision: 1,
          created_at: now,
          updated_at: now,
        }
        roles.insert(role)
        record(context, auditOf('createRole', role))
        return toRole(role)
      }),
    updateRole: (context, id, body) =>
      database.transact(() => {
        const before = requireCustom(id)
        requireUnchanged(context, before)
        if (body.name !== undefined) refuseTakenName(body.name, id)
        roles.update({ ...before, ...body, updated_at: system.nowIso() })
        const after = requireCustom(id)
        record(context, auditOf('updateRole', after))
        return toRole(after)
      }),
    deleteRole: (context, id) => {
      database.transact(() => {
        const role = requireCustom(id)
        requireUnchanged(context, role)
        const holders = deps.members.countOfRole(id)
        if (holders > 0) throw new AppError('CONFLICT', { message: `${holders} members have this role.` })
        roles.remove(id)
        record(context, auditOf('deleteRole', role))
      })
    },
  }
}

function toRole(role: RoleEntity): RevisedRole {
  const { id, name, description, permissions, revision } = role
  return { id, name, description, permissions, built_in: false, revision }
}

function auditOf(action: string, role: RoleEntity) {
  const details = { name: role.name, permissions: role.permissions }
  return { action, resource_kind: 'role', resource_id: role.id, details }
}
