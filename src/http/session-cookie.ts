import type { FastifyRequest } from 'fastify'
import { AppError } from '../lib/errors.ts'

export const SESSION_COOKIE = 'berth_session'

/** The session token in the request's Cookie header (RFC 6265, section 5.4), if there is one. */
export function readSessionCookie(request: FastifyRequest): string | undefined {
  for (const pair of (request.headers.cookie ?? '').split(';')) {
    const [name, value] = pair.trim().split('=', 2)
    if (name === SESSION_COOKIE && value !== undefined && value !== '') return value
  }
  return undefined
}

/** The Set-Cookie value that keeps a session; `Secure` where the client came over TLS. */
export function sessionCookie(request: FastifyRequest, token: string, maxAgeSeconds: number): string {
  const secure = request.protocol === 'https' ? '; Secure' : ''
  return `${SESSION_COOKIE}=${token}; Path=/; HttpOnly; SameSite=Strict; Max-Age=${maxAgeSeconds}${secure}`
}

/** The Set-Cookie value that drops the session. */
export function expiredSessionCookie(request: FastifyRequest): string {
  return sessionCookie(request, '', 0)
}

const SAFE_METHODS = new Set(['GET', 'HEAD', 'OPTIONS'])

/** Throws ORIGIN_REFUSED for a write that does not come from a page of our own. */
export function requireSameOrigin(request: FastifyRequest): void {
  if (SAFE_METHODS.has(request.method)) return
  const { origin } = request.headers
  const host = origin !== undefined && URL.canParse(origin) ? new URL(origin).host : undefined
  // Browsers write hosts in lower case; other clients may not.
  if (host === undefined || host !== request.host.toLowerCase()) throw new AppError('ORIGIN_REFUSED')
}
