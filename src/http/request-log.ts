import type { FastifyInstance } from 'fastify'

/** Writes one line a request: no query, because tickets stand there, and no headers. Reads of probes only where they failed. */
export function installRequestLog(server: FastifyInstance): void {
  server.addHook('onResponse', async (request, reply) => {
    if (request.routeOptions.config.unlimited === true && reply.statusCode < 400) return
    const actor = request.authenticated?.context.actor
    request.log.info(
      {
        method: request.method,
        path: request.url.split('?', 1)[0]?.slice(0, 256),
        status: reply.statusCode,
        duration_ms: Math.round(reply.elapsedTime),
        client_address: request.ip,
        actor: actor?.name,
      },
      'request',
    )
  })
}
