import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { AppError } from '../lib/errors.ts'

/** An answer as it was sent. */
interface SentAnswer {
  status: number
  headers: Record<string, string>
  body: string
}

interface KeyedRequest {
  principal: string
  key: string
  content: string
}

/** What remembers answers; see modules/identity/idempotency.ts. */
export interface IdempotencyMemory {
  begin(request: KeyedRequest): SentAnswer | undefined
  complete(request: KeyedRequest, answer: SentAnswer): void
  forget(request: KeyedRequest): void
}

/**
 * Honours `Idempotency-Key` on every POST of someone who is known: a repeated request gets the first one's answer instead of being done
 * again. Only answers of success are kept, because what failed did nothing.
 */
export function installIdempotency(server: FastifyInstance, memory: IdempotencyMemory): void {
  server.decorateRequest('keyed', null)
  server.addHook('preHandler', async (request, reply) => {
    const keyed = readKey(request)
    if (!keyed) return
    const answer = memory.begin(keyed)
    if (!answer) {
      request.keyed = keyed
      return
    }
    await reply
      .code(answer.status)
      .headers({ ...answer.headers, 'idempotency-replayed': 'true' })
      .send(answer.body)
  })
  server.addHook('onSend', async (request, reply, payload) => {
    const { keyed } = request
    if (!keyed) return payload
    request.keyed = null
    if (reply.statusCode >= 200 && reply.statusCode < 300) memory.complete(keyed, answerOf(reply, payload))
    else memory.forget(keyed)
    return payload
  })
}

declare module 'fastify' {
  interface FastifyRequest {
    keyed: KeyedRequest | null
  }
}

function readKey(request: FastifyRequest): KeyedRequest | undefined {
  const key = request.headers['idempotency-key']
  if (key === undefined || request.method !== 'POST' || !request.authenticated) return undefined
  // A raw body is not read here, so nobody could tell whether it is the same one; an upload that is sent again does no harm.
  if (isRaw(request.body)) return undefined
  if (typeof key !== 'string' || !/^[\x21-\x7e]{1,200}$/.test(key)) {
    const details = [{ field: 'Idempotency-Key', message: 'must have 1 to 200 visible ASCII characters' }]
    throw new AppError('VALIDATION_ERROR', { details })
  }
  const { actor } = request.context
  return {
    // The very credentials: what a narrower token of the same user may not do, it must not get told either.
    principal: actor.token_id ?? actor.session_id ?? actor.name,
    key,
    content: `${request.method} ${request.url}\n${JSON.stringify(request.body ?? null)}`,
  }
}

function isRaw(body: unknown): boolean {
  return typeof body === 'object' && body !== null && 'pipe' in body
}

function answerOf(reply: FastifyReply, payload: unknown): SentAnswer {
  const headers: Record<string, string> = {}
  for (const name of ['content-type', 'etag', 'location']) {
    const value = reply.getHeader(name)
    if (value !== undefined) headers[name] = String(value)
  }
  return { status: reply.statusCode, headers, body: typeof payload === 'string' ? payload : '' }
}
