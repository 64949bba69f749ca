import type { FastifyReply } from 'fastify'
import { IdParams } from '../../http/schema.ts'
import type { Server } from '../../http/server.ts'
import { entityTagOf } from '../../lib/revision.ts'
import { EnvInput, EnvView } from '../secrets/env-schema.ts'
import type { EnvAnswer } from './service-env-operations.ts'
import { EnvPatch } from './service-input-schema.ts'
import type { ServiceOperations } from './service-operations.ts'

const tags = ['Services']

/** The variables are the whole answer, so the tag of their service is set by hand. */
function sendEnv(reply: FastifyReply, answer: EnvAnswer): EnvView {
  void reply.header('etag', entityTagOf(answer))
  return answer.env
}

/** Routes of a service's environment variables. */
export function serviceEnvRoutes(server: Server, operations: ServiceOperations): void {
  server.get(
    '/v1/services/:id/env',
    {
      config: { access: { permission: 'env.read', of: 'service' } },
      schema: {
        operationId: 'getServiceEnv',
        summary: 'Read the environment variables of a service',
        tags,
        params: IdParams,
        response: { 200: EnvView },
      },
    },
    async (request, reply) =>
      sendEnv(reply, await operations.getServiceEnv(request.context, request.params.id)),
  )

  server.put(
    '/v1/services/:id/env',
    {
      config: { access: { permission: 'env.write', of: 'service' }, entity_tag: true },
      schema: {
        operationId: 'replaceServiceEnv',
        summary: 'Replace all environment variables; they act with the next deployment',
        tags,
        params: IdParams,
        body: EnvInput,
        response: { 200: EnvView },
      },
    },
    async (request, reply) =>
      sendEnv(reply, await operations.replaceServiceEnv(request.context, request.params.id, request.body)),
  )

  server.patch(
    '/v1/services/:id/env',
    {
      config: { access: { permission: 'env.write', of: 'service' }, entity_tag: true },
      schema: {
        operationId: 'updateServiceEnv',
        summary: 'Set and unset single environment variables; they act with the next deployment',
        tags,
        params: IdParams,
        body: EnvPatch,
        response: { 200: EnvView },
      },
    },
    async (request, reply) =>
      sendEnv(reply, await operations.updateServiceEnv(request.context, request.params.id, request.body)),
  )
}
