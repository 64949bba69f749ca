import type { FastifyBaseLogger, FastifyInstance, FastifyRequest } from 'fastify'

/** Writes one line a request: no query, because tickets stand there, and no headers. Reads of probes only where they failed. */
export function installRequestLog(server: FastifyInstance): void {
  server.addHook('onResponse', async (request, reply) => {
    if (request.routeOptions.config.unlimited === true && reply.statusCode < 400) return
    const status = reply.statusCode
    request.log.info({ ...factsOf(request), status, duration_ms: Math.round(reply.elapsedTime) }, 'request')
  })
}

/** Writes the line of an event stream, which no hook sees, when it ends. */
export function logStream(request: FastifyRequest, durationMs: number, reason: Error): void {
  const facts = {
    ...factsOf(request),
    status: 200,
    duration_ms: Math.round(durationMs),
    ended: reason.message,
  }
  request.log.info(facts, 'stream')
}

/** Writes the line of a request that was answered without Fastify. */
export function logRequest(
  log: FastifyBaseLogger,
  request: {
    request_id: string
    method: string
    url: string
    client_address: string
    status: number
    duration_ms: number
  },
): void {
  const { url, duration_ms, ...facts } = request
  log.info({ ...facts, path: pathOf(url), duration_ms: Math.round(duration_ms) }, 'request')
}

function pathOf(url: string): string | undefined {
  return url.split('?', 1)[0]?.slice(0, 256)
}

function factsOf(request: FastifyRequest) {
  return {
    method: request.method,
    path: pathOf(request.url),
    client_address: request.ip,
    actor: request.authenticated?.context.actor.name,
  }
}
