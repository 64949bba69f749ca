import { Type } from 'typebox'
import { readPageRequest, sendPage } from '../../http/pagination.ts'
import { IdParams, ListQuery } from '../../http/schema.ts'
import type { Server } from '../../http/server.ts'
import type { DeploymentOperations } from './deployment-operations.ts'
import { DeploymentRequest, DeploymentView, RollbackRequest } from './deployment-schema.ts'

const tags = ['deployments']

/** Routes of deployments. Their logs are routed by the logs module. */
export function deploymentRoutes(server: Server, operations: DeploymentOperations): void {
  server.post(
    '/v1/deployments',
    {
      config: { access: { permission: 'deployments.create' } },
      schema: {
        operationId: 'createDeployment',
        summary:
          'Deploy an upload, a commit of the repository, the live release again, or an earlier release',
        tags,
        body: DeploymentRequest,
        response: { 202: DeploymentView },
      },
    },
    async (request, reply) => {
      const deployment = await operations.createDeployment(request.context, request.body)
      return reply.code(202).header('location', `/v1/deployments/${deployment.id}`).send(deployment)
    },
  )

  server.get(
    '/v1/deployments/:id',
    {
      config: { access: { permission: 'deployments.read', of: 'deployment' } },
      schema: {
        operationId: 'getDeployment',
        summary: 'Show a deployment and how far it is',
        tags,
        params: IdParams,
        response: { 200: DeploymentView },
      },
    },
    async (request) => operations.getDeployment(request.context, request.params.id),
  )

  server.post(
    '/v1/deployments/:id/cancel',
    {
      config: { access: { permission: 'deployments.cancel', of: 'deployment' } },
      schema: {
        operationId: 'cancelDeployment',
        summary: 'Stop a deployment that is not live yet',
        tags,
        params: IdParams,
        response: { 202: DeploymentView },
      },
    },
    async (request, reply) =>
      reply.code(202).send(operations.cancelDeployment(request.context, request.params.id)),
  )

  server.get(
    '/v1/services/:id/deployments',
    {
      config: { access: { permission: 'deployments.read', of: 'service' } },
      schema: {
        operationId: 'listDeployments',
        summary: 'List the deployments of a service, newest first',
        tags,
        params: IdParams,
        querystring: ListQuery,
        response: { 200: Type.Array(DeploymentView) },
      },
    },
    async (request, reply) =>
      sendPage(
        request,
        reply,
        operations.listDeployments(request.context, request.params.id, readPageRequest(request.query)),
      ),
  )

  server.post(
    '/v1/services/:id/rollback',
    {
      config: { access: { permission: 'deployments.create', of: 'service' } },
      schema: {
        operationId: 'rollbackService',
        summary: 'Deploy an earlier release again, with the settings that it had',
        tags,
        params: IdParams,
        body: RollbackRequest,
        response: { 202: DeploymentView },
      },
    },
    async (request, reply) => {
      const deployment = await operations.rollbackService(
        request.context,
        request.params.id,
        request.body.deployment_id,
      )
      return reply.code(202).header('location', `/v1/deployments/${deployment.id}`).send(deployment)
    },
  )
}
