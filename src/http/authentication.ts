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
    // RFC 9112, section 3.2.
    if (request.raw.httpVersion === '1.1' && request.headers.host === undefined) {
      throw new AppError('BAD_REQUEST')
    }
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
