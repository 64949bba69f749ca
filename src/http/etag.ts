import type { FastifyInstance } from 'fastify'
import { entityTagOf, type Revised } from '../lib/revision.ts'

/**
 * Puts an ETag (RFC 9110, section 8.8.3) on every answer that carries an `id` and a `revision`; the response schema keeps the revision
 * itself from being sent. `If-Match` reaches operations through their context, and `requireUnchanged` compares it.
 */
export function installEntityTags(server: FastifyInstance): void {
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
