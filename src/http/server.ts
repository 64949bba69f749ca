import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import fastify, { type FastifyBaseLogger, type FastifyInstance, type FastifyRequest, type RawServerDefault } from 'fastify'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { AppError } from '../lib/errors.ts'
import type { System } from '../lib/system.ts'
import type { Actor } from '../modules/identity/actor.ts'
import { checkAccess, type ProjectFinder, type ResourceKind } from './access.ts'
import { installErrorHandler } from './error-handler.ts'

/** A Fastify instance whose handlers are typed by their TypeBox schemas. */
export type Server = FastifyInstance<RawServerDefault, IncomingMessage, ServerResponse, FastifyBaseLogger, TypeBoxTypeProvider>

export interface ServerDeps {
  log: FastifyBaseLogger
  system: System
  /** Answers who a bearer token or session cookie belongs to. */
  authenticate: (request: FastifyRequest) => Actor | undefined
  finders: Readonly<Record<ResourceKind, ProjectFinder>>
}

/** Makes the API server without routes; each module registers its own. */
export function createServer(deps: ServerDeps): Server {
  const server = fastify({
    loggerInstance: deps.log,
    disableRequestLogging: true,
    genReqId: () => deps.system.newId(),
    requestIdHeader: false,
    bodyLimit: 1024 * 1024,
    forceCloseConnections: true,
    // Path and query values are coerced where their schema asks; bodies are taken as they are and must fit exactly.
    ajv: { customOptions: { coerceTypes: false, removeAdditional: false, useDefaults: true, allErrors: true } },
  }).withTypeProvider<TypeBoxTypeProvider>()
  installErrorHandler(server as unknown as FastifyInstance)

  server.addHook('onRoute', (route) => {
    if (route.config?.access === undefined) throw new Error(`${String(route.method)} ${route.url} declares no access`)
  })
  server.addHook('onRequest', async (request, reply) => {
    void reply.header('x-request-id', request.id)
    const access = request.routeOptions.config.access
    if (access === undefined || 'public' in access) return
    const actor = deps.authenticate(request)
    if (!actor) throw new AppError('UNAUTHENTICATED')
    request.actor = actor
    checkAccess(access, actor, request, deps.finders)
  })
  return server
}
