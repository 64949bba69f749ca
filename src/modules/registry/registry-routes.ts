import type { FastifyBaseLogger, FastifyError, FastifyReply, FastifyRequest } from 'fastify'
import { toAppError } from '../../http/error-handler.ts'
import { sendFilePart } from '../../http/file-answer.ts'
import { createRateLimiter, type RateLimiter } from '../../http/rate-limit.ts'
import type { PlainExchange } from '../../http/raw/raw-connection.ts'
import { serveRaw } from '../../http/raw/raw-server.ts'
import { logRequest } from '../../http/request-log.ts'
import { SECURITY_HEADERS } from '../../http/security-headers.ts'
import type { Server } from '../../http/server.ts'
import type { AppError } from '../../lib/errors.ts'
import { streamSource } from '../../lib/stream-source.ts'
import type { System } from '../../lib/system.ts'
import type { FilePart, RegistryAnswer } from './registry-answer.ts'
import { challenges, rangeHeaders, registryErrorBody } from './registry-error-schema.ts'
import type { RegistryProtocol } from './registry-operations.ts'

export interface RegistryRouteDeps {
  protocol: RegistryProtocol
  /** Calls from one address in a minute. */
  rateLimitPerMinute: number
}

/** Everything under /v2, in a plugin of its own: raw bodies, answers and errors in the shape of the distribution specification. */
export function registryRoutes(server: Server, deps: RegistryRouteDeps): void {
  const limiter = createRateLimiter(server.system, deps.rateLimitPerMinute)
  void server.register(async (scope) => {
    scope.removeAllContentTypeParsers()
    // The body stays a stream, whatever type it has or lacks.
    scope.addContentTypeParser('*', (_request, payload, done) => done(null, payload))
    scope.setErrorHandler((thrown: FastifyError, request, reply) => {
      const error = toAppError(thrown)
      const { id: requestId, method, host, protocol } = request
      logFailure(server.log, requestId, error)
      const asked = { method, url: request.raw.url ?? '', host, protocol }
      const { headers, body } = failureOf(deps.protocol, asked, requestId, error)
      void reply
        .code(error.status)
        .headers({ 'Docker-Distribution-Api-Version': 'registry/2.0', ...headers })
        .send(body)
    })
    for (const url of ['/v2', '/v2/*']) {
      scope.route({
        method: ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'],
        url,
        exposeHeadRoute: false,
        config: { access: { registry: true }, streams_body: true },
        // Another specification describes it.
        schema: { hide: true },
        handler: async (request, reply) => {
          limiter.take(request.ip)
          await sendAnswer(request, reply, await answer(deps.protocol, server.system, request))
        },
      })
    }
  })
  serveRaw(server, { prefix: '/v2', serve: (exchange) => serve(server, deps, limiter, exchange) })
}

/** A plain request, answered without Fastify: these are counted by the ten thousand, or by the gigabyte. */
async function serve(
  server: Server,
  deps: RegistryRouteDeps,
  limiter: RateLimiter,
  exchange: PlainExchange,
): Promise<void> {
  const { head, body, claims } = exchange
  const { clientAddress, protocol, host } = claims
  const startedAt = server.system.monotonic()
  const requestId = server.system.newId()
  const asked = { method: head.method, url: head.url, host, protocol }
  const common = {
    'Docker-Distribution-Api-Version': 'registry/2.0',
    'x-content-type-options': 'nosniff',
    'X-Request-Id': requestId,
  }
  let status = 500
  try {
    limiter.take(clientAddress)
    const answer = await deps.protocol.answer({
      method: head.method,
      url: head.url,
      header: (name) => head.headers.get(name),
      body,
      requestId,
      clientAddress,
    })
    status = answer.status
    const headers = { ...common, ...answer.headers }
    if (isFilePart(answer.body))
      await sendFilePart(exchange.beginAnswer(status, headers), answer.body, server.system)
    else exchange.answer(status, headers, answer.body)
  } catch (thrown) {
    const error = toAppError(thrown)
    status = error.status
    body.discard()
    logFailure(server.log, requestId, error)
    const failure = failureOf(deps.protocol, asked, requestId, error)
    exchange.answer(status, { ...common, ...SECURITY_HEADERS, ...failure.headers }, failure.body)
  }
  logRequest(server.log, {
    request_id: requestId,
    method: head.method,
    url: head.url,
    client_address: clientAddress,
    status,
    duration_ms: server.system.monotonic() - startedAt,
  })
}

function answer(
  protocol: RegistryProtocol,
  system: System,
  request: FastifyRequest,
): Promise<RegistryAnswer> {
  const { raw } = request
  return protocol.answer({
    method: request.method,
    url: raw.url ?? '',
    header: (name) => {
      const value = raw.headers[name]
      return Array.isArray(value) ? value[0] : value
    },
    body: streamSource(raw, system),
    requestId: request.id,
    clientAddress: request.ip,
  })
}

/** Written to the socket directly: the same answers as those to plain requests. */
async function sendAnswer(
  request: FastifyRequest,
  reply: FastifyReply,
  { status, headers, body }: RegistryAnswer,
): Promise<void> {
  reply.hijack()
  const { raw: response } = reply
  const { 'Content-Length': length, ...others } = headers
  response.writeHead(status, {
    'Docker-Distribution-Api-Version': 'registry/2.0',
    'x-content-type-options': 'nosniff',
    'X-Request-Id': request.id,
    ...others,
    // RFC 9110, section 8.6: no length with a 204.
    ...(length !== undefined && status !== 204 && { 'Content-Length': length }),
  })
  if (!isFilePart(body)) {
    response.end(request.method === 'HEAD' ? undefined : body)
    return
  }
  try {
    await sendFilePart(response, body, request.server.system)
    response.end()
  } catch (error) {
    request.log.error({ err: error }, 'a blob could not be sent to its end')
  }
}

function isFilePart(body: RegistryAnswer['body']): body is FilePart {
  return typeof body === 'object' && 'handle' in body
}

interface Asked {
  method: string
  url: string
  host: string
  protocol: string
}

function failureOf(
  protocol: RegistryProtocol,
  asked: Asked,
  requestId: string,
  error: AppError,
): { headers: RegistryAnswer['headers']; body: string } {
  const body = registryErrorBody(error, requestId)
  const headers: RegistryAnswer['headers'] = {
    'Content-Type': 'application/json; charset=utf-8',
    'Content-Length': Buffer.byteLength(body),
  }
  if (error.retryAfterSeconds !== undefined || error.status === 429 || error.status === 503)
    headers['Retry-After'] = String(Math.ceil(error.retryAfterSeconds ?? 1))
  if (error.code === 'UNAUTHENTICATED') {
    const isTooSmall = error.cause instanceof Error && error.cause.name === 'InsufficientScope'
    const origin = `${asked.protocol}://${asked.host}`
    headers['WWW-Authenticate'] = challenges(origin, protocol.scopeOf(asked), isTooSmall)
  }
  if (error.status === 416) Object.assign(headers, rangeHeaders(error, asked.url.split('?', 1)[0] ?? ''))
  return { headers, body }
}

function logFailure(log: FastifyBaseLogger, requestId: string, error: AppError): void {
  if (error.status >= 500)
    log.error({ err: error.cause ?? error, code: error.code, request_id: requestId }, 'request failed')
}
