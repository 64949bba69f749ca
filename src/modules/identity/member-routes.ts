import { Type } from 'typebox'
import { readPageRequest, sendPage } from '../../http/pagination.ts'
import { IdParams, ListQuery } from '../../http/schema.ts'
import type { Server } from '../../http/server.ts'
import { Me, Member, MemberParams, PutMemberBody } from './identity-schema.ts'
import type { MemberOperations } from './member-operations.ts'

const tags = ['members']

/** Who one is, and who belongs to a project. */
export function memberRoutes(server: Server, operations: MemberOperations): void {
  server.get(
    '/v1/me',
    {
      config: { access: { signed_in: true, recovery: true } },
      schema: {
        operationId: 'getMe',
        summary: 'Read who you are, where you belong and what you may',
        tags,
        response: { 200: Me },
      },
    },
    async (request) => operations.getMe(request.context),
  )
  server.get(
    '/v1/projects/:id/members',
    {
      config: { access: { permission: 'projects.read', of: 'project' } },
      schema: {
        operationId: 'listMembers',
        summary: 'List the members of a project, by name',
        tags,
        params: IdParams,
        querystring: ListQuery,
        response: { 200: Type.Array(Member) },
      },
    },
    async (request, reply) => {
      const page = operations.listMembers(request.context, request.params.id, readPageRequest(request.query))
      return sendPage(request, reply, page)
    },
  )
  server.post(
    '/v1/projects/:id/members',
    {
      config: { access: { permission: 'members.write', of: 'project', session: true } },
      schema: {
        operationId: 'putMember',
        summary: 'Add a member (201) or change their role (200)',
        tags,
        params: IdParams,
        body: PutMemberBody,
        response: { 200: Member, 201: Member },
      },
    },
    async (request, reply) => {
      const { member, added } = operations.putMember(request.context, request.params.id, request.body)
      void reply.code(added ? 201 : 200)
      return member
    },
  )
  server.delete(
    '/v1/projects/:id/members/:user_id',
    {
      config: { access: { permission: 'members.write', of: 'project', session: true } },
      schema: {
        operationId: 'removeMember',
        summary: 'Remove a member',
        tags,
        params: MemberParams,
        response: { 204: Type.Null() },
      },
    },
    async (request, reply) => {
      operations.removeMember(request.context, request.params.id, request.params.user_id)
      void reply.code(204)
    },
  )
}
