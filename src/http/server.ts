import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import fastify, {
  type FastifyBaseLogger,
  type FastifyInstance,
  type FastifyRequest,
  LogController,
  type RawServerDefault,
} from 'fastify'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { TSchema } from 'typebox'
import type { Config } from '../config.ts'
import { createAddressList } from '../lib/address-list.ts'
import { AppError } from '../lib/errors.ts'
import type { System } from '../lib/system.ts'
import type { Authenticate } from '../modules/identity/actor.ts'
import type { Denial } from '../modules/identity/authorize.ts'
import { createAccessWatch } from './access-watch.ts'
import type { ProjectFinders } from './access.ts'
import { authenticateRequest, installAuthentication } from './authentication.ts'
import { installBodyDeadline, installBodyParsers } from './body.ts'
import { installErrorHandler, sendFrameworkError } from './error-handler.ts'
import { installEntityTags } from './etag.ts'
import { type IdempotencyMemory, installIdempotency } from './idempotency.ts'
import { createClientErrorHandler } from './malformed.ts'
import { createRateLimiter } from './rate-limit.ts'
import { decorateRequests } from './request-context.ts'
import { installRequestLog } from './request-log.ts'
import { createRouteIndex } from './route-index.ts'
import { installSecurityHeaders } from './security-headers.ts'
import { createSerializerCompiler } from './serialization.ts'
import { createValidatorCompiler, settleBody } from './validation.ts'

/**
 * A Fastify instance whose handlers are typed by their TypeBox schemas. Every module exports one function that adds its routes:
 * `export function xRoutes(server: Server, operations: XOperations): void`. A route declares `config.access` and a `schema` with its
 * `operationId`, `summary`, `tags`, inputs and `response`.
 */
export type Server = FastifyInstance<
  RawServerDefault,
  IncomingMessage,
  ServerResponse,
  FastifyBaseLogger,
  TypeBoxTypeProvider
>

export interface ServerDeps {
  log: FastifyBaseLogger
  system: System
  authenticate: Authenticate
  /** Rises whenever someone's access may have changed; open streams are looked at again then. */
  accessRevision: () => number
  finders: ProjectFinders
  /** Remembers answers by Idempotency-Key: `identity.idempotency`. */
  idempotency: IdempotencyMemory
  /** Told of every refusal, for the audit log. */
  onDenied: (denial: Denial) => void
  settings: Pick<Config, 'trusted_proxies' | 'rate_limit_per_minute'>
}

const BODY_LIMIT = 1024 * 1024
/** How long an orderly stop waits for requests that are under way. */
const CLOSE_GRACE_MS = 10_000

/** The ingress is trusted, which comes by a socket without an address (`ingress-door.ts`), and behind it the proxies of the configuration. */
function trustedHops(trusted: readonly string[]): (address: string | undefined) => boolean {
  const isListed = createAddressList(trusted)
  return (address) => address === undefined || isListed(address)
}

/** Makes the API server without routes; each module registers its own. */
export function createServer(deps: ServerDeps): Server {
  const server = fastify({
    loggerInstance: deps.log,
    logController: new LogController({ disableRequestLogging: true, requestIdLogLabel: 'request_id' }),
    genReqId: () => deps.system.newId(),
    requestIdHeader: false,
    bodyLimit: BODY_LIMIT,
    trustProxy: trustedHops(deps.settings.trusted_proxies),
    forceCloseConnections: 'idle',
    // What arrives on open connections during a stop is answered as ever, and its connection closed.
    return503OnClosing: false,
    // Refused by our own hook, in the shape of every other failure.
    http: { requireHostHeader: false },
    frameworkErrors: (error, request, reply) => sendFrameworkError(error, request, reply),
    clientErrorHandler: createClientErrorHandler(deps.system),
    routerOptions: { maxParamLength: 256 },
  }).withTypeProvider<TypeBoxTypeProvider>()
  const plain = server as unknown as FastifyInstance

  // All that fit into a head: what Node leaves out beyond its limit, a proxy in front may have read.
  server.server.maxHeadersCount = 0
  server.setValidatorCompiler<TSchema>(createValidatorCompiler())
  server.setSerializerCompiler<TSchema>(createSerializerCompiler())
  installBodyParsers(plain)
  decorateRequests(plain)
  server.decorate('system', deps.system)
  server.decorate('trustsProxies', deps.settings.trusted_proxies.length > 0)
  server.decorate('routeIndex', createRouteIndex())
  server.decorate('finders', deps.finders)
  server.decorate('liveStreams', new Map<() => void, string>())
  server.decorate(
    'accessWatch',
    createAccessWatch({
      system: deps.system,
      accessRevision: deps.accessRevision,
      lossOf: (request) => lossOf(request, deps),
    }),
  )
  installErrorHandler(plain, deps.onDenied)
  collectRoutes(plain)
  installSecurityHeaders(plain)
  installBodyDeadline(plain)
  installRequestLog(plain)
  installAuthentication(plain, deps, createRateLimiter(deps.system, deps.settings.rate_limit_per_minute))
  server.addHook('preValidation', async (request) => settleBody(request))
  installIdempotency(plain, deps.idempotency)
  installEntityTags(plain)
  endStreamsOnClose(plain)
  // An expectation that we do not know may be ignored (RFC 9110, section 10.1.1); Node alone would answer without a body.
  server.server.on('checkExpectation', (request, response) =>
    server.server.emit('request', request, response),
  )
  return server
}

function lossOf(request: FastifyRequest, deps: ServerDeps): AppError | undefined {
  try {
    authenticateRequest(request, deps)
    return undefined
  } catch (error) {
    return error instanceof AppError ? error : new AppError('INTERNAL', { cause: error })
  }
}

function collectRoutes(server: FastifyInstance): void {
  server.addHook('onRoute', (route) => {
    const methods = [route.method].flat()
    const access = route.config?.access
    if (access === undefined) throw new Error(`${methods.join()} ${route.url} declares no access`)
    const { url, schema = {} } = route
    const entity_tag = route.config?.entity_tag === true
    for (const method of methods) server.routeIndex.add({ method, url, access, entity_tag, schema })
  })
}

function endStreamsOnClose(server: FastifyInstance): void {
  server.addHook('preClose', async () => {
    for (const stop of server.liveStreams.keys()) stop()
    server.system.later(CLOSE_GRACE_MS, () => server.server.closeAllConnections())
  })
}
