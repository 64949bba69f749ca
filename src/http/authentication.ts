import type { FastifyInstance, FastifyRequest } from 'fastify'
import { AppError } from '../lib/errors.ts'
import { createTarpit, type Tarpit } from '../lib/tarpit.ts'
import type { Authenticate, Authentication, Credentials } from '../modules/identity/actor.ts'
import { decideAccess, type ProjectFinders } from './access.ts'
import { noRoute } from './no-route.ts'
import type { RateLimiter } from './rate-limit.ts'
import { makeContext } from './request-context.ts'
import { readSessionCookie, requireSameOrigin } from './session-cookie.ts'

interface Deps {
  authenticate: Authenticate
  finders: ProjectFinders
}

/** Answers 401, 403, 404 and 429 before the body is read. */
export function installAuthentication(server: FastifyInstance, deps: Deps, limiter: RateLimiter): void {
  const tarpit = createTarpit(server.system)
  server.addHook('onRequest', async (request, reply) => {
    requireSoundHead(request)
    const { unlimited, access } = request.routeOptions.config
    if (unlimited === true || (access !== undefined && 'registry' in access)) return
    try {
      authenticateRequest(request, deps)
    } finally {
      // A guess of a token costs its address a call, a valid one its principal.
      await takeCall(request, limiter, tarpit)
    }
    // Here rather than in the not-found handler: a body that nobody wants is not worth reading.
    if (request.is404) throw noRoute(request, reply)
  })
}

/** RFC 9112, section 3.2: one Host. Of two fields a proxy in front may have read the other one, so Authorization must be alone too. */
function requireSoundHead({ raw }: FastifyRequest): void {
  const { rawHeaders } = raw
  const count = { host: 0, authorization: 0 }
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = rawHeaders[at]?.toLowerCase()
    if (name === 'host' || name === 'authorization') count[name] += 1
  }
  const lacksHost = raw.httpVersion === '1.1' && count.host === 0
  if (lacksHost || count.host > 1 || count.authorization > 1) throw new AppError('BAD_REQUEST')
}

async function takeCall(request: FastifyRequest, limiter: RateLimiter, tarpit: Tarpit): Promise<void> {
  try {
    limiter.take(principalOf(request))
  } catch (error) {
    // Whoever is known is told at once and can be found.
    if (!request.authenticated) await tarpit.hold()
    throw error
  }
}

/**
 * Finds out who makes the request and whether they may. Throws UNAUTHENTICATED, ORIGIN_REFUSED or the refusal of the route. Called again
 * for streams that stay open.
 */
export function authenticateRequest(request: FastifyRequest, deps: Deps): void {
  const { access } = request.routeOptions.config
  if (access === undefined || 'public' in access || 'registry' in access) return
  const credentials = readCredentials(request)
  const authentication = credentials && deps.authenticate(credentials)
  if (!authentication) throw new AppError('UNAUTHENTICATED')
  if (credentials.from === 'cookie') requireSameOrigin(request)
  remember(request, authentication)
  const verdict = decideAccess(
    access,
    authentication.actor,
    request.params as Record<string, string | undefined>,
    deps.finders,
  )
  if (!verdict.allowed) throw verdict.error
}

function remember(request: FastifyRequest, authentication: Authentication): void {
  request.authenticated = { authentication, context: makeContext(request, authentication) }
}

/** The bearer token (RFC 6750, section 2.1), else the session cookie. */
function readCredentials(request: FastifyRequest): Credentials | undefined {
  const { authorization } = request.headers
  if (authorization !== undefined) {
    const token = /^bearer +([\x21-\x7e]{1,512})$/i.exec(authorization)?.[1]
    return token === undefined ? undefined : { token, from: 'header', client_address: request.ip }
  }
  const token = readSessionCookie(request)
  return token === undefined ? undefined : { token, from: 'cookie', client_address: request.ip }
}

/** Whom a budget counts for: a token, else its user, else the address. */
export function principalOf(request: FastifyRequest): string {
  const actor = request.authenticated?.context.actor
  if (!actor) return `address ${request.ip}`
  return actor.token_id ?? actor.user_id ?? actor.name
}
