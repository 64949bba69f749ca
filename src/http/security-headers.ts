import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'

/** An answer of the API is data: nothing of it may be run, framed, sniffed or kept by caches. A page sets its own policy. */
export const SECURITY_HEADERS: Readonly<Record<string, string>> = {
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'referrer-policy': 'no-referrer',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  'cross-origin-resource-policy': 'same-origin',
  'cross-origin-opener-policy': 'same-origin',
  'cache-control': 'no-store',
}

const ONE_YEAR_SECONDS = 365 * 86_400

/** Puts the request's id and what browsers should know on every answer. There are no CORS headers: other origins may not read anything. */
export function installSecurityHeaders(server: FastifyInstance): void {
  server.addHook('onRequest', async (request, reply) => setSecurityHeaders(request, reply))
}

export function setSecurityHeaders(request: FastifyRequest, reply: FastifyReply): void {
  void reply.headers(SECURITY_HEADERS).header('x-request-id', request.id)
  if (request.protocol === 'https') {
    void reply.header('strict-transport-security', `max-age=${ONE_YEAR_SECONDS}`)
  }
}
