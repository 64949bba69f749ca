import { Readable } from 'node:stream'
import { Type } from 'typebox'
import { readPageRequest, sendPage } from '../../http/pagination.ts'
import { EventStreamAnswer, StreamedText } from '../../http/schema.ts'
import type { Server } from '../../http/server.ts'
import { type EventStream, openEventStream } from '../../http/sse.ts'
import type { AuditOperations } from './audit-operations.ts'
import { AuditEvent, AuditFilterQuery, AuditQuery, EventsQuery, Verification } from './audit-schema.ts'

const tags = ['audit']
const access = { permission: 'audit.read' } as const

/** Reading, exporting and proving the audit log, and following it live. */
export function auditRoutes(server: Server, operations: AuditOperations): void {
  server.get(
    '/v1/audit-events',
    {
      config: { access },
      schema: {
        operationId: 'listAuditEvents',
        summary: 'List audit events of your projects (super-admins: all), newest first',
        tags,
        querystring: AuditQuery,
        response: { 200: Type.Array(AuditEvent) },
      },
    },
    async (request, reply) => {
      const { limit, cursor, ...filter } = request.query
      const page = readPageRequest({
        ...(limit === undefined ? {} : { limit }),
        ...(cursor === undefined ? {} : { cursor }),
      })
      return sendPage(request, reply, await operations.listAuditEvents(request.context, filter, page))
    },
  )
  server.get(
    '/v1/audit-events/export',
    {
      config: { access },
      schema: {
        operationId: 'exportAuditEvents',
        summary:
          'Download audit events as JSON lines, oldest first; the last line has their count and says whether the chain holds',
        tags,
        querystring: AuditFilterQuery,
        response: { 200: { content: { 'application/x-ndjson': { schema: StreamedText } } } },
      },
    },
    async (request, reply) => {
      const gone = new AbortController()
      reply.raw.once('close', () => gone.abort())
      const batches = operations.exportAuditEvents(request.context, request.query, gone.signal)
      void reply
        .type('application/x-ndjson')
        .header('content-disposition', 'attachment; filename="audit.jsonl"')
      return reply.send(Readable.from(toLines(batches)))
    },
  )
  server.post(
    '/v1/audit-events/verify',
    {
      config: { access },
      schema: {
        operationId: 'verifyAuditEvents',
        summary: 'Compute every hash of the audit log anew',
        tags,
        response: { 200: Verification },
      },
    },
    async () => operations.verifyAuditEvents(),
  )
  server.get(
    '/v1/events',
    {
      config: { access: { signed_in: true } },
      schema: {
        operationId: 'followEvents',
        summary: 'Follow the changes that you may see, as server-sent events',
        tags,
        querystring: EventsQuery,
        response: { 200: EventStreamAnswer },
      },
    },
    async (request, reply) => {
      const { project_id, format = 'json' } = request.query
      const stream = openEventStream(request, reply)
      const after = /^\d{1,15}$/.test(stream.resumeFrom ?? '') ? { after: Number(stream.resumeFrom) } : {}
      const options = { ...after, ...(project_id === undefined ? {} : { project_id }) }
      await pump(
        operations.followEvents(() => request.context.actor, options, stream.signal),
        stream,
        format,
      )
    },
  )
}

async function* toLines(batches: AsyncIterable<object[]>) {
  for await (const batch of batches) yield batch.map((each) => `${JSON.stringify(each)}\n`).join('')
}

async function pump(
  batches: AsyncIterable<AuditEvent[]>,
  stream: EventStream,
  format: 'json' | 'text',
): Promise<void> {
  for await (const event of flat(batches)) {
    const { sequence, at, action, resource_kind, resource_id, project_id, actor_name } = event
    const line = `${actor_name} ${action} ${resource_kind ?? ''} ${resource_id ?? ''}`.trim()
    const facts = {
      ts: at,
      stream: 'audit',
      line,
      sequence,
      action,
      resource_kind,
      resource_id,
      project_id,
      actor_name,
    }
    if (!stream.send({ id: String(sequence), data: format === 'text' ? line : facts })) await stream.ready()
  }
}

async function* flat<T>(batches: AsyncIterable<T[]>) {
  for await (const batch of batches) yield* batch
}
