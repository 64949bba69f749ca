import { Type } from 'typebox'
import { readPageRequest, sendPage } from '../../http/pagination.ts'
import { ListQuery } from '../../http/schema.ts'
import type { Server } from '../../http/server.ts'
import {
  BootstrapBody,
  CreateUserBody,
  DirectoryEntry,
  UpdateUserBody,
  User,
  UserParams,
} from './identity-schema.ts'
import type { UserOperations } from './user-operations.ts'

const tags = ['users']
const access = { super_admin: true, recovery: true } as const

/** The first administrator and everyone after. */
export function userRoutes(server: Server, operations: UserOperations): void {
  server.post(
    '/v1/bootstrap',
    {
      config: { access: { install_admin: true } },
      schema: {
        operationId: 'bootstrap',
        summary: 'Make the first administrator, with the install admin token',
        tags,
        body: BootstrapBody,
        response: { 201: User },
      },
    },
    async (request, reply) => {
      void reply.code(201)
      return operations.bootstrap(request.context, request.body)
    },
  )
  server.get(
    '/v1/users',
    {
      config: { access },
      schema: {
        operationId: 'listUsers',
        summary: 'List users',
        tags,
        querystring: ListQuery,
        response: { 200: Type.Array(User) },
      },
    },
    async (request, reply) =>
      sendPage(request, reply, operations.listUsers(request.context, readPageRequest(request.query))),
  )
  server.post(
    '/v1/users',
    {
      config: { access: { ...access, session: true } },
      schema: {
        operationId: 'createUser',
        summary: 'Create a user',
        tags,
        body: CreateUserBody,
        response: { 201: User },
      },
    },
    async (request, reply) => {
      void reply.code(201)
      return operations.createUser(request.context, request.body)
    },
  )
  server.get(
    '/v1/users/directory',
    {
      config: { access: { permission: 'members.write' } },
      schema: {
        operationId: 'listUserDirectory',
        summary: 'List ids and names of users, to add them as members',
        tags,
        querystring: ListQuery,
        response: { 200: Type.Array(DirectoryEntry) },
      },
    },
    async (request, reply) =>
      sendPage(request, reply, operations.listUserDirectory(request.context, readPageRequest(request.query))),
  )
  server.get(
    '/v1/users/:user_id',
    {
      config: { access },
      schema: {
        operationId: 'getUser',
        summary: 'Read a user',
        tags,
        params: UserParams,
        response: { 200: User },
      },
    },
    async (request) => operations.getUser(request.context, request.params.user_id),
  )
  server.put(
    '/v1/users/:user_id',
    {
      config: { access: { ...access, session: true }, entity_tag: true },
      schema: {
        operationId: 'updateUser',
        summary:
          "Reset a user's password (their sessions and API tokens end) or change their super-admin flag",
        tags,
        params: UserParams,
        body: UpdateUserBody,
        response: { 200: User },
      },
    },
    async (request) => operations.updateUser(request.context, request.params.user_id, request.body),
  )
  server.delete(
    '/v1/users/:user_id',
    {
      config: { access: { ...access, session: true }, entity_tag: true },
      schema: {
        operationId: 'deleteUser',
        summary: 'Delete a user with their sessions, tokens and memberships',
        tags,
        params: UserParams,
        response: { 204: Type.Null() },
      },
    },
    async (request, reply) => {
      operations.deleteUser(request.context, request.params.user_id)
      void reply.code(204)
    },
  )
}
