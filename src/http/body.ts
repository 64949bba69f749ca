import type { FastifyInstance } from 'fastify'
import { AppError } from '../lib/errors.ts'

/** A body of JSON is at most a megabyte: whoever needs longer holds the connection for its own sake. */
const JSON_BODY_MS = 30_000

/** Ends connections on which a JSON body does not arrive. */
export function installBodyDeadline(server: FastifyInstance): void {
  server.addHook('onRequest', async ({ raw, headers }) => {
    if (raw.complete || !/^application\/json\b/i.test(headers['content-type'] ?? '')) return
    // No answer: the parser would take the rest of the body behind it and run the handler after all.
    const cancel = server.system.later(JSON_BODY_MS, () => raw.destroy())
    raw.once('end', cancel)
    raw.once('close', cancel)
  })
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
