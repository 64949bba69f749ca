import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify'
import { toAppError } from '../../http/error-handler.ts'
import { sendFilePart } from '../../http/file-answer.ts'
import { createRateLimiter } from '../../http/rate-limit.ts'
import type { Server } from '../../http/server.ts'
import type { AppError } from '../../lib/errors.ts'
import { type Denial, isDenial, RefusedLogin } from '../identity/authorize.ts'
import type { RegistryAnswer } from './registry-answer.ts'
import { challenges, rangeHeaders, registryErrorBody } from './registry-error-schema.ts'
import type { RegistryProtocol } from './registry-operations.ts'

export interface RegistryRouteDeps {
  protocol: RegistryProtocol
  /** Calls from one address in a minute. */
  rateLimitPerMinute: number
  onDenied: (denial: Denial) => void
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
      reportDenial(deps, request, error)
      sendRegistryError(deps.protocol, request, reply, error)
    })
    for (const url of ['/v2', '/v2/*']) {
      scope.route({
        method: ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'],
        url,
        exposeHeadRoute: false,
        config: { access: { registry: true } },
        // Another specification describes it.
        schema: { hide: true },
        handler: async (request, reply) => {
          limiter.take(request.ip)
          await sendAnswer(request, reply, await answer(deps.protocol, request))
        },
      })
    }
  })
}

function answer(protocol: RegistryProtocol, request: FastifyRequest): Promise<RegistryAnswer> {
  const { raw } = request
  return protocol.answer({
    method: request.method,
    url: raw.url ?? '',
    header: (name) => {
      const value = raw.headers[name]
      return Array.isArray(value) ? value[0] : value
    },
    body: raw,
    requestId: request.id,
    clientAddress: request.ip,
  })
}

/** Written to the socket directly: these answers are counted by the ten thousand, or by the gigabyte. */
async function sendAnswer(
  request: FastifyRequest,
  reply: FastifyReply,
  { status, headers, body }: RegistryAnswer,
): Promise<void> {
  reply.hijack()
  const { raw: response } = reply
  response.writeHead(status, {
    'Docker-Distribution-Api-Version': 'registry/2.0',
    'X-Content-Type-Options': 'nosniff',
    'X-Request-Id': request.id,
    ...headers,
  })
  if (typeof body === 'object' && 'handle' in body) {
    await sendFilePart(response, body).catch((error: unknown) =>
      request.log.error({ err: error }, 'a blob could not be sent to its end'),
    )
    return
  }
  response.end(request.method === 'HEAD' ? undefined : body)
}

function sendRegistryError(
  protocol: RegistryProtocol,
  request: FastifyRequest,
  reply: FastifyReply,
  error: AppError,
): void {
  if (error.status >= 500)
    request.log.error({ err: error.cause ?? error, code: error.code }, 'request failed')
  if (error.retryAfterSeconds !== undefined)
    void reply.header('Retry-After', String(Math.ceil(error.retryAfterSeconds)))
  if (error.code === 'UNAUTHENTICATED') {
    const origin = `${request.protocol}://${request.host}`
    const isTooSmall = error.cause instanceof Error && error.cause.name === 'InsufficientScope'
    void reply.header('WWW-Authenticate', challenges(origin, protocol.scopeOf(asked(request)), isTooSmall))
  }
  if (error.status === 416) void reply.headers(rangeHeaders(error, request.url.split('?', 1)[0] ?? ''))
  void reply
    .code(error.status)
    .header('Docker-Distribution-Api-Version', 'registry/2.0')
    .type('application/json; charset=utf-8')
    .send(registryErrorBody(error, request.id))
}

function asked(request: FastifyRequest): { method: string; url: string } {
  return { method: request.method, url: request.raw.url ?? '' }
}

/** Clients begin every session with a request without credentials; that is no refusal worth keeping. */
function reportDenial(deps: RegistryRouteDeps, request: FastifyRequest, error: AppError): void {
  if (!isDenial(error)) return
  if (error.code === 'UNAUTHENTICATED' && !(error.cause instanceof RefusedLogin)) return
  deps.onDenied({
    context: undefined,
    request_id: request.id,
    client_address: request.ip,
    action: `registry ${request.method}`,
    error,
  })
}
