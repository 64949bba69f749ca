import type { FastifyInstance } from 'fastify'
import { AppError } from '../lib/errors.ts'
import { entityTagOf, type Revised } from '../lib/revision.ts'

const CHANGES = new Set(['PUT', 'PATCH', 'DELETE'])

/**
 * Puts an ETag (RFC 9110, section 8.8.3) on every answer that carries an `id` and a `revision`; the response schema keeps the revision
 * itself from being sent. `If-Match` reaches operations through their context, and `requireUnchanged` compares it, where the route says so
 * (`entity_tag`). Elsewhere no tag was ever given, so any but `*` answers PRECONDITION_FAILED rather than be passed over (section 13.1.1).
 */
export function installEntityTags(server: FastifyInstance): void {
  server.addHook('preHandler', async ({ method, authenticated, routeOptions: { config } }) => {
    const tags = authenticated?.context.if_match
    if (tags === undefined || tags.includes('*') || config.entity_tag === true) return
    if (CHANGES.has(method)) throw new AppError('PRECONDITION_FAILED')
  })
  server.addHook('preSerialization', async (_request, reply, payload) => {
    if (isRevised(payload) && reply.statusCode < 300) void reply.header('etag', entityTagOf(payload))
    return payload
  })
}

function isRevised(payload: unknown): payload is Revised {
  return (
    typeof payload === 'object' &&
    payload !== null &&
    'id' in payload &&
    'revision' in payload &&
    typeof payload.id === 'string' &&
    typeof payload.revision === 'number'
  )
}
