import type { FastifyReply, FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import { readPageRequest, sendPage } from '../../http/pagination.ts'
import { EventStreamAnswer, IdParams } from '../../http/schema.ts'
import type { Server } from '../../http/server.ts'
import type { LogPage } from './log-line.ts'
import type { LogOperations } from './log-operations.ts'
import {
  DeploymentLine,
  DeploymentLogQuery,
  DeploymentStreamQuery,
  ServiceLine,
  ServiceLogQuery,
  ServiceStreamQuery,
} from './log-schema.ts'
import { readLineId, sendLog } from './log-stream-routes.ts'

const tags = ['logs']
const ofService = { config: { access: { permission: 'logs.read', of: 'service' } } } as const
const ofDeployment = { config: { access: { permission: 'logs.read', of: 'deployment' } } } as const
const DEFAULT_LIMIT = 5000

/** Routes of api.md for the logs of services and deployments. */
export function logRoutes(server: Server, operations: LogOperations): void {
  server.get(
    '/v1/services/:id/logs',
    {
      ...ofService,
      schema: {
        operationId: 'readServiceLog',
        summary: 'The newest lines of a service, oldest first; the Link header leads to older ones',
        tags,
        params: IdParams,
        querystring: ServiceLogQuery,
        response: { 200: Type.Array(ServiceLine) },
      },
    },
    async (request, reply) => {
      const before = readCursor(request.query.cursor)
      const page = await operations.readServiceLog(request.params.id, request.query, before, signalOf(reply))
      return sendLines(request, reply, page, page.lines[0])
    },
  )

  server.get(
    '/v1/services/:id/logs/stream',
    {
      ...ofService,
      schema: {
        operationId: 'followServiceLog',
        summary:
          'The lines of a service as they come, across its deployments (SSE); resume by Last-Event-ID or since',
        tags,
        params: IdParams,
        querystring: ServiceStreamQuery,
        response: { 200: EventStreamAnswer },
      },
    },
    async (request, reply) => {
      const { id } = request.params
      const follow = await operations.followServiceLog(
        id,
        request.query,
        readLineId(request.headers['last-event-id']),
        signalOf(reply),
      )
      await sendLog(request, reply, follow, request.query.format)
    },
  )

  server.get(
    '/v1/deployments/:id/logs',
    {
      ...ofDeployment,
      schema: {
        operationId: 'readDeploymentLog',
        summary: 'The lines of a deployment from the first on; the Link header leads to later ones',
        tags,
        params: IdParams,
        querystring: DeploymentLogQuery,
        response: { 200: Type.Array(DeploymentLine) },
      },
    },
    async (request, reply) => {
      const { cursor, since, limit = DEFAULT_LIMIT } = request.query
      const after = readCursor(cursor) ?? readLineId(since) ?? 0
      const page = await operations.readDeploymentLog(request.params.id, after, limit)
      return sendLines(request, reply, page, page.lines.at(-1))
    },
  )

  server.get(
    '/v1/deployments/:id/logs/stream',
    {
      ...ofDeployment,
      schema: {
        operationId: 'followDeploymentLog',
        summary: 'The lines of a deployment from the first on, as they come, until it is over (SSE)',
        tags,
        params: IdParams,
        querystring: DeploymentStreamQuery,
        response: { 200: EventStreamAnswer },
      },
    },
    async (request, reply) => {
      const after = readLineId(request.headers['last-event-id']) ?? readLineId(request.query.since) ?? 0
      await sendLog(
        request,
        reply,
        operations.followDeploymentLog(request.params.id, after),
        request.query.format,
      )
    },
  )
}

/** Answers stored lines as they are: they are JSON already. The next page begins at the id of `edge`. */
function sendLines(
  request: FastifyRequest,
  reply: FastifyReply,
  { lines, more }: LogPage,
  edge: string | undefined,
): FastifyReply {
  const next = more ? /^\{"seq":(\d+),/.exec(edge ?? '')?.[1] : undefined
  sendPage(request, reply, next === undefined ? { items: lines } : { items: lines, next })
  return reply.type('application/json; charset=utf-8').send(`[${lines.join(',')}]`)
}

function readCursor(cursor: string | undefined): number | undefined {
  if (cursor === undefined) return undefined
  return readLineId(readPageRequest({ cursor }).after)
}

/** Aborts when nobody waits for the answer any more. */
function signalOf(reply: FastifyReply): AbortSignal {
  const abort = new AbortController()
  reply.raw.once('close', () => abort.abort(new Error('the client left')))
  return abort.signal
}
