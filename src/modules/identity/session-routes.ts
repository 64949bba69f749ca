import { Type } from 'typebox'
import { readPageRequest, sendPage } from '../../http/pagination.ts'
import { clientOf } from '../../http/request-context.ts'
import { ListQuery } from '../../http/schema.ts'
import type { Server } from '../../http/server.ts'
import { expiredSessionCookie, requireSameOrigin, sessionCookie } from '../../http/session-cookie.ts'
import {
  ChangePasswordBody,
  LoginAnswer,
  LoginBody,
  LoginQuery,
  Session,
  SessionParams,
} from './identity-schema.ts'
import type { SessionOperations } from './session-operations.ts'

const tags = ['sessions']
/** Small, because anybody may send them. */
const PUBLIC_BODY_LIMIT = 4096

/** Login, logout and what a user sees of their sessions. */
export function sessionRoutes(server: Server, operations: SessionOperations): void {
  server.post(
    '/v1/auth/login',
    {
      bodyLimit: PUBLIC_BODY_LIMIT,
      config: { access: { public: true } },
      schema: {
        operationId: 'login',
        summary: 'Begin a session',
        tags,
        querystring: LoginQuery,
        body: LoginBody,
        response: { 200: LoginAnswer },
      },
    },
    async (request, reply) => {
      const asCookie = request.query.session === 'cookie'
      // Another site must not sign a visitor in as someone else.
      if (asCookie && request.headers.origin !== undefined) requireSameOrigin(request)
      const { token, expires_at, user } = await operations.login(clientOf(request), request.body)
      if (!asCookie) return { token, expires_at, user }
      void reply.header(
        'set-cookie',
        sessionCookie(request, token, secondsUntil(expires_at, server.system.now())),
      )
      return { expires_at, user }
    },
  )
  server.post(
    '/v1/auth/logout',
    {
      config: { access: { signed_in: true, session: true, recovery: true } },
      schema: { operationId: 'logout', summary: 'End this session', tags, response: { 204: Type.Null() } },
    },
    async (request, reply) => {
      operations.logout(request.context)
      void reply.header('set-cookie', expiredSessionCookie(request)).code(204)
    },
  )
  server.get(
    '/v1/auth/sessions',
    {
      config: { access: { signed_in: true } },
      schema: {
        operationId: 'listSessions',
        summary: 'List your sessions',
        tags,
        querystring: ListQuery,
        response: { 200: Type.Array(Session) },
      },
    },
    async (request, reply) =>
      sendPage(request, reply, operations.listSessions(request.context, readPageRequest(request.query))),
  )
  server.delete(
    '/v1/auth/sessions',
    {
      config: { access: { signed_in: true, session: true } },
      schema: {
        operationId: 'endSessions',
        summary: 'End all your sessions',
        tags,
        response: { 204: Type.Null() },
      },
    },
    async (request, reply) => {
      operations.endSessions(request.context)
      void reply.header('set-cookie', expiredSessionCookie(request)).code(204)
    },
  )
  server.delete(
    '/v1/auth/sessions/:id',
    {
      config: { access: { signed_in: true, session: true } },
      schema: {
        operationId: 'endSession',
        summary: 'End one of your sessions',
        tags,
        params: SessionParams,
        response: { 204: Type.Null() },
      },
    },
    async (request, reply) => {
      operations.endSession(request.context, request.params.id)
      void reply.code(204)
    },
  )
  server.put(
    '/v1/me/password',
    {
      bodyLimit: PUBLIC_BODY_LIMIT,
      config: { access: { signed_in: true, session: true } },
      schema: {
        operationId: 'changePassword',
        summary: 'Change your password; your other sessions end, your API tokens only if you say so',
        tags,
        body: ChangePasswordBody,
        response: { 204: Type.Null() },
      },
    },
    async (request, reply) => {
      await operations.changePassword(request.context, request.body)
      void reply.code(204)
    },
  )
}

function secondsUntil(instant: string, now: number): number {
  return Math.max(0, Math.floor((Date.parse(instant) - now) / 1000))
}
