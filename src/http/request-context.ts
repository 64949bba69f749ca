import type { FastifyRequest } from 'fastify'
import type { Authentication } from '../modules/identity/actor.ts'
import type { Context } from '../modules/identity/context.ts'
import type { System } from '../lib/system.ts'
import type { ProjectFinders, RouteAccess } from './access.ts'
import type { AccessWatch } from './access-watch.ts'
import type { RouteIndex } from './route-index.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    access?: RouteAccess
    /** Not counted by the rate limit: probes. */
    unlimited?: true
    /** Its operation compares `If-Match` with the entity tag of what it changes (`requireUnchanged`). */
    entity_tag?: true
    /** Reads the body as it comes, and sees itself to a client that stalls. */
    streams_body?: true
  }
  /** What of OpenAPI's Operation Object stands beside the schemas. */
  interface FastifySchema {
    operationId?: string
    summary?: string
    description?: string
    tags?: readonly string[]
    /** Media types of a body that is not JSON. */
    consumes?: readonly string[]
    /** Not part of the API: pages. */
    hide?: true
  }
  interface FastifyRequest {
    /** Who calls and what belongs into records; operations take it first. Reading it on a public route throws. */
    readonly context: Context
    /** Until when the access may stand without another look, in milliseconds since the epoch. */
    readonly accessUntil: number
    /** Set by the authentication hook. */
    authenticated: { context: Context; authentication: Authentication } | null
  }
  interface FastifyInstance {
    system: System
    /** Whether some peers' claims about their clients count. */
    trustsProxies: boolean
    accessWatch: AccessWatch
    /** What ends each open stream when the server stops, and whose it is. */
    liveStreams: Map<() => void, string>
    routeIndex: RouteIndex
    finders: ProjectFinders
  }
}

/** The part of a context that an unknown caller has too. */
export function clientOf(request: FastifyRequest): {
  request_id: string
  client_address: string
  user_agent: string
} {
  return {
    request_id: request.id,
    client_address: request.ip,
    user_agent: (request.headers['user-agent'] ?? '').slice(0, 200),
  }
}

export function makeContext(request: FastifyRequest, authentication: Authentication): Context {
  const header = request.headers['if-match']
  const base = { actor: authentication.actor, request_id: request.id, client_address: request.ip }
  return header === undefined ? base : { ...base, if_match: header.split(',').map((tag) => tag.trim()) }
}

/** Adds `context` and what it stands on to every request. */
export function decorateRequests(server: { decorateRequest(name: string, value: unknown): unknown }): void {
  server.decorateRequest('authenticated', null)
  server.decorateRequest('context', {
    getter(this: FastifyRequest) {
      if (!this.authenticated)
        throw new Error(`${this.method} ${this.routeOptions.url ?? this.url} is public: nobody is known`)
      return this.authenticated.context
    },
  })
  server.decorateRequest('accessUntil', {
    getter(this: FastifyRequest) {
      return this.authenticated?.authentication.expires_at_ms ?? Number.POSITIVE_INFINITY
    },
  })
}
