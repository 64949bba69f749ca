import { IdParams } from '../../http/schema.ts'
import type { Server } from '../../http/server.ts'
import { ScaleRequest } from './service-input-schema.ts'
import type { ServiceOperations } from './service-operations.ts'
import { ServiceView } from './service-view-schema.ts'

const tags = ['Services']
const writable = { access: { permission: 'services.write', of: 'service' } } as const
const response = { 202: ServiceView }

/** Routes that change how much of a service runs. */
export function serviceRunRoutes(server: Server, operations: ServiceOperations): void {
  server.put(
    '/v1/services/:id/scale',
    {
      config: { ...writable, entity_tag: true },
      schema: {
        operationId: 'scaleService',
        summary: 'Set how many replicas run',
        tags,
        params: IdParams,
        body: ScaleRequest,
        response,
      },
    },
    async (request, reply) =>
      reply
        .code(202)
        .send(await operations.scaleService(request.context, request.params.id, request.body.replicas)),
  )

  server.post(
    '/v1/services/:id/start',
    {
      config: writable,
      schema: {
        operationId: 'startService',
        summary: 'Let the live release run again',
        tags,
        params: IdParams,
        response,
      },
    },
    async (request, reply) =>
      reply.code(202).send(await operations.startService(request.context, request.params.id)),
  )

  server.post(
    '/v1/services/:id/stop',
    {
      config: writable,
      schema: { operationId: 'stopService', summary: 'Stop all replicas', tags, params: IdParams, response },
    },
    async (request, reply) =>
      reply.code(202).send(await operations.stopService(request.context, request.params.id)),
  )

  server.post(
    '/v1/services/:id/restart',
    {
      config: { access: { ...writable.access, also: 'deployments.create' } },
      schema: {
        operationId: 'restartService',
        summary: 'Replace all replicas without a gap; Location names the deployment that does it',
        tags,
        params: IdParams,
        response,
      },
    },
    async (request, reply) => {
      const { service, deploymentId } = await operations.restartService(request.context, request.params.id)
      return reply.code(202).header('location', `/v1/deployments/${deploymentId}`).send(service)
    },
  )
}
