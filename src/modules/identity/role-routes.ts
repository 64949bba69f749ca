import { Type } from 'typebox'
import { readPageRequest, sendPage } from '../../http/pagination.ts'
import { IdParams, ListQuery } from '../../http/schema.ts'
import type { Server } from '../../http/server.ts'
import { pageOfAll } from '../../lib/page.ts'
import { CreateRoleBody, PermissionEntry, Role, UpdateRoleBody } from './identity-schema.ts'
import { PERMISSION_NAMES, PERMISSIONS } from './permissions.ts'
import type { RoleOperations } from './role-operations.ts'

const tags = ['roles']
const access = { super_admin: true, session: true } as const

/** The permissions there are, and the roles that bundle them. */
export function roleRoutes(server: Server, operations: RoleOperations): void {
  server.get(
    '/v1/permissions',
    {
      config: { access: { signed_in: true } },
      schema: {
        operationId: 'listPermissions',
        summary: 'List all permissions, by name',
        tags,
        querystring: ListQuery,
        response: { 200: Type.Array(PermissionEntry) },
      },
    },
    async (request, reply) => {
      const all = PERMISSION_NAMES.map((name) => ({ name, description: PERMISSIONS[name] }))
      return sendPage(
        request,
        reply,
        pageOfAll(all, readPageRequest(request.query), ({ name }) => name),
      )
    },
  )
  server.get(
    '/v1/roles',
    {
      config: { access: { signed_in: true } },
      schema: {
        operationId: 'listRoles',
        summary: 'List the built-in roles, then custom ones',
        tags,
        querystring: ListQuery,
        response: { 200: Type.Array(Role) },
      },
    },
    async (request, reply) => sendPage(request, reply, operations.listRoles(readPageRequest(request.query))),
  )
  server.post(
    '/v1/roles',
    {
      config: { access },
      schema: {
        operationId: 'createRole',
        summary: 'Create a custom role',
        tags,
        body: CreateRoleBody,
        response: { 201: Role },
      },
    },
    async (request, reply) => {
      void reply.code(201)
      return operations.createRole(request.context, request.body)
    },
  )
  server.put(
    '/v1/roles/:id',
    {
      config: { access, entity_tag: true },
      schema: {
        operationId: 'updateRole',
        summary: 'Change a custom role, at once for everyone who has it',
        tags,
        params: IdParams,
        body: UpdateRoleBody,
        response: { 200: Role },
      },
    },
    async (request) => operations.updateRole(request.context, request.params.id, request.body),
  )
  server.delete(
    '/v1/roles/:id',
    {
      config: { access, entity_tag: true },
      schema: {
        operationId: 'deleteRole',
        summary: 'Delete a custom role that nobody has',
        tags,
        params: IdParams,
        response: { 204: Type.Null() },
      },
    },
    async (request, reply) => {
      operations.deleteRole(request.context, request.params.id)
      void reply.code(204)
    },
  )
}
