import { Type } from 'typebox'
import { IdParams } from '../../http/schema.ts'
import type { Server } from '../../http/server.ts'
import { Canary } from '../services/service-view-schema.ts'
import { CanaryRequest } from './canary-schema.ts'
import type { DeploymentOperations } from './deployment-operations.ts'
import { DeploymentView } from './deployment-schema.ts'

const tags = ['deployments']
const changeable = { access: { permission: 'deployments.create', of: 'service' } } as const

/** Routes of the release that runs beside the live one for a share of the requests. */
export function canaryRoutes(server: Server, operations: DeploymentOperations): void {
  server.put(
    '/v1/services/:id/canary',
    {
      config: { ...changeable, entity_tag: true },
      schema: {
        operationId: 'setCanary',
        summary: 'Set the share of the requests that the canary gets',
        tags,
        params: IdParams,
        body: CanaryRequest,
        response: { 200: Canary },
      },
    },
    async (request) => operations.setCanary(request.context, request.params.id, request.body.percent),
  )

  server.post(
    '/v1/services/:id/canary/promote',
    {
      config: changeable,
      schema: {
        operationId: 'promoteCanary',
        summary: 'Deploy the release of the canary; the canary ends when that is live',
        tags,
        params: IdParams,
        response: { 202: DeploymentView },
      },
    },
    async (request, reply) => {
      const deployment = await operations.promoteCanary(request.context, request.params.id)
      return reply.code(202).header('location', `/v1/deployments/${deployment.id}`).send(deployment)
    },
  )

  server.delete(
    '/v1/services/:id/canary',
    {
      config: { ...changeable, entity_tag: true },
      schema: {
        operationId: 'abortCanary',
        summary: 'End the canary; all requests go to the live release',
        description: 'A promotion of it that is not live yet is cancelled.',
        tags,
        params: IdParams,
        response: { 204: Type.Null() },
      },
    },
    async (request, reply) => {
      await operations.abortCanary(request.context, request.params.id)
      return reply.code(204).send(null)
    },
  )
}
