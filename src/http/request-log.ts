import type { FastifyInstance, FastifyRequest } from 'fastify'

/** Writes one line a request: no query, because tickets stand there, and no headers. Reads of probes only where they failed. */
export function installRequestLog(server: FastifyInstance): void {
  server.addHook('onResponse', async (request, reply) => {
    if (isRoutine(request) && reply.statusCode < 400) return
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

/** Probes, and reads of the registry: a pull is a dozen of them. */
function isRoutine(request: FastifyRequest): boolean {
  const { unlimited, access } = request.routeOptions.config
  if (unlimited === true) return true
  return (
    access !== undefined && 'registry' in access && (request.method === 'GET' || request.method === 'HEAD')
  )
}
