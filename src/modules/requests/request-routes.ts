import type { FastifyReply, FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import { readPageRequest, sendPage } from '../../http/pagination.ts'
import { EventStreamAnswer, IdParams } from '../../http/schema.ts'
import type { Server } from '../../http/server.ts'
import { type EventStream, openEventStream } from '../../http/sse.ts'
import type { RequestOperations } from './request-operations.ts'
import { RequestEntry, RequestQuery, RequestStreamQuery } from './request-schema.ts'

const tags = ['Requests']
const readable = { access: { permission: 'services.read', of: 'service' } } as const

/** What was asked of a service, as the ingress saw it. */
export function requestRoutes(server: Server, operations: RequestOperations): void {
  server.get(
    '/v1/services/:id/requests',
    {
      config: readable,
      schema: {
        operationId: 'listRequests',
        summary: 'List the requests that came for a service, newest first',
        tags,
        params: IdParams,
        querystring: RequestQuery,
        response: { 200: Type.Array(RequestEntry) },
      },
    },
    async (request, reply) => {
      const { cursor: _c, limit: _l, ...query } = request.query
      const page = await operations.listRequests(
        request.params.id,
        query,
        readPageRequest(request.query),
        request.signal,
      )
      return sendPage(request, reply, page)
    },
  )

  server.get(
    '/v1/services/:id/requests/stream',
    {
      config: readable,
      schema: {
        operationId: 'followRequests',
        summary: 'Follow the requests that come for a service',
        tags,
        params: IdParams,
        querystring: RequestStreamQuery,
        response: { 200: EventStreamAnswer },
      },
    },
    async (request, reply) => {
      const last = request.headers['last-event-id']
      const resumeFrom = typeof last === 'string' && /^\d{1,15}$/.test(last) ? Number(last) : undefined
      const { params, query, signal } = request
      const follow = await operations.followRequests(params.id, query, resumeFrom, signal)
      await send(request, reply, follow, operations.toEntry)
    },
  )
}

type Follow = Awaited<ReturnType<RequestOperations['followRequests']>>

async function send(
  request: FastifyRequest,
  reply: FastifyReply,
  follow: Follow,
  toEntry: RequestOperations['toEntry'],
): Promise<void> {
  const stream = openEventStream(request, reply)
  try {
    for await (const event of follow(stream.signal)) {
      if (event.type === 'end') stream.end({ status: event.state })
      else if (event.type === 'lost') stream.send({ event: 'lost', data: { lost: event.count } })
      else if (!sendEntries(stream, event.batch.lines.map(toEntry))) await stream.ready()
    }
  } finally {
    stream.end()
  }
}

function sendEntries(stream: EventStream, entries: readonly RequestEntry[]): boolean {
  const events = entries.map((entry) => `id: ${entry.id}\ndata: ${JSON.stringify(entry)}\n\n`)
  return stream.sendFormatted(events.join(''), entries.length)
}
