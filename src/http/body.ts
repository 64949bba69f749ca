import type { FastifyInstance } from 'fastify'
import type { IncomingHttpHeaders } from 'node:http'
import { AppError } from '../lib/errors.ts'

/** A body that is taken as a whole has at most some megabytes: whoever needs longer holds the connection for its own sake. */
const BODY_MS = 30_000

/**
 * Ends connections on which a body does not arrive, of whatever type and whether anyone wants it. Routes with `streams_body` see themselves
 * to clients that stall, until they have answered.
 */
export function installBodyDeadline(server: FastifyInstance): void {
  server.addHook('onRequest', async ({ raw, headers, routeOptions }, reply) => {
    if (raw.complete || !hasBody(headers)) return
    const begin = (): void => {
      // No answer: the parser would take the rest of the body behind it and run the handler after all.
      const cancel = server.system.later(BODY_MS, () => raw.destroy())
      raw.once('end', cancel)
      raw.once('close', cancel)
    }
    if (routeOptions.config?.streams_body !== true) begin()
    else reply.raw.once('finish', () => void (raw.complete || begin()))
  })
}

/** RFC 9112, section 6: a request without either field has no body. */
function hasBody(headers: IncomingHttpHeaders): boolean {
  return headers['transfer-encoding'] !== undefined || (headers['content-length'] ?? '0') !== '0'
}

/** Takes JSON only; a route with a raw body adds its own parser inside its own plugin. */
export function installBodyParsers(server: FastifyInstance): void {
  server.removeAllContentTypeParsers()
  server.addContentTypeParser('application/json', { parseAs: 'string' }, (_request, text, done) => {
    // Clients commonly send the content type with requests that have no body.
    if (text === '') return done(null, undefined)
    try {
      done(null, parseJson(String(text)))
    } catch (error) {
      done(new AppError('BAD_JSON', { cause: error }))
    }
  })
}

/** Refuses keys that reach the prototype of what they are copied into; the slow way only for bodies that could hold one. */
function parseJson(text: string): unknown {
  if (!/__proto__|\\u005f/i.test(text)) return JSON.parse(text)
  return JSON.parse(text, (key, value: unknown) => {
    if (key === '__proto__') throw new SyntaxError('__proto__ is not allowed as a key')
    return value
  })
}
