import { Type } from 'typebox'
import { readPageRequest, sendPage } from '../../http/pagination.ts'
import { IdParams, ListQuery } from '../../http/schema.ts'
import type { Server } from '../../http/server.ts'
import type { WebhookOperations } from './webhook-operations.ts'
import {
  DeliveryParams,
  DeliveryView,
  RotateWebhookSecret,
  WebhookCreate,
  WebhookParams,
  WebhookPatch,
  WebhookView,
  WebhookWithSecret,
} from './webhook-schema.ts'

const tags = ['webhooks']
const readAccess = { access: { permission: 'services.read', of: 'service' } } as const
const writeAccess = { access: { permission: 'services.write', of: 'service' } } as const
// Whoever knows the secret of a webhook has pushes deployed.
const arrangeAccess = {
  access: { permission: 'services.write', also: 'deployments.create', of: 'service' },
} as const

/** Routes of webhooks; where forges send to is in hook-routes.ts. */
export function webhookRoutes(server: Server, operations: WebhookOperations): void {
  collectionRoutes(server, operations)
  resourceRoutes(server, operations)
  deliveryRoutes(server, operations)
}

function collectionRoutes(server: Server, operations: WebhookOperations): void {
  server.get(
    '/v1/services/:id/webhooks',
    {
      config: readAccess,
      schema: {
        operationId: 'listWebhooks',
        summary: 'List the webhooks of a service, newest first',
        tags,
        params: IdParams,
        querystring: ListQuery,
        response: { 200: Type.Array(WebhookView) },
      },
    },
    async (request, reply) =>
      sendPage(
        request,
        reply,
        operations.listWebhooks(request.context, request.params.id, readPageRequest(request.query)),
      ),
  )

  server.post(
    '/v1/services/:id/webhooks',
    {
      config: arrangeAccess,
      schema: {
        operationId: 'createWebhook',
        summary: 'Make a webhook that deploys what is pushed; its secret is answered this once',
        tags,
        params: IdParams,
        body: WebhookCreate,
        response: { 201: WebhookWithSecret },
      },
    },
    async (request, reply) =>
      reply.code(201).send(await operations.createWebhook(request.context, request.params.id, request.body)),
  )
}

function resourceRoutes(server: Server, operations: WebhookOperations): void {
  server.get(
    '/v1/services/:id/webhooks/:webhook_id',
    {
      config: readAccess,
      schema: {
        operationId: 'getWebhook',
        summary: 'Read a webhook, without its secret',
        tags,
        params: WebhookParams,
        response: { 200: WebhookView },
      },
    },
    async (request) => operations.getWebhook(request.context, request.params.id, request.params.webhook_id),
  )

  server.patch(
    '/v1/services/:id/webhooks/:webhook_id',
    {
      config: { ...writeAccess, entity_tag: true },
      schema: {
        operationId: 'updateWebhook',
        summary: 'Change which pushes a webhook deploys, or switch it off',
        description: 'One that is enabled afterwards needs `deployments.create` as well.',
        tags,
        params: WebhookParams,
        body: WebhookPatch,
        response: { 200: WebhookView },
      },
    },
    async (request) =>
      operations.updateWebhook(request.context, request.params.id, request.params.webhook_id, request.body),
  )

  server.delete(
    '/v1/services/:id/webhooks/:webhook_id',
    {
      config: { ...writeAccess, entity_tag: true },
      schema: {
        operationId: 'deleteWebhook',
        summary: 'Delete a webhook and what it received',
        tags,
        params: WebhookParams,
        response: { 204: Type.Null() },
      },
    },
    async (request, reply) => {
      operations.deleteWebhook(request.context, request.params.id, request.params.webhook_id)
      return reply.code(204).send(null)
    },
  )

  server.post(
    '/v1/services/:id/webhooks/:webhook_id/rotate-secret',
    {
      config: arrangeAccess,
      schema: {
        operationId: 'rotateWebhookSecret',
        summary: 'Replace the secret of a webhook; the new one is answered this once',
        tags,
        params: WebhookParams,
        body: RotateWebhookSecret,
        response: { 200: WebhookWithSecret },
      },
    },
    async (request) => {
      const { id, webhook_id } = request.params
      return operations.rotateWebhookSecret(request.context, id, webhook_id, request.body.secret)
    },
  )
}

function deliveryRoutes(server: Server, operations: WebhookOperations): void {
  server.get(
    '/v1/services/:id/webhooks/:webhook_id/deliveries',
    {
      config: readAccess,
      schema: {
        operationId: 'listWebhookDeliveries',
        summary: 'List what a webhook received and what became of it, newest first',
        tags,
        params: WebhookParams,
        querystring: ListQuery,
        response: { 200: Type.Array(DeliveryView) },
      },
    },
    async (request, reply) => {
      const { id, webhook_id } = request.params
      const page = readPageRequest(request.query)
      return sendPage(request, reply, operations.listWebhookDeliveries(request.context, id, webhook_id, page))
    },
  )

  server.post(
    '/v1/services/:id/webhooks/:webhook_id/deliveries/:delivery_id/replay',
    {
      config: { access: { permission: 'deployments.create', of: 'service' } },
      schema: {
        operationId: 'replayWebhookDelivery',
        summary: 'Act on a push that arrived once more, by the filters of today',
        tags,
        params: DeliveryParams,
        response: { 202: DeliveryView },
      },
    },
    async (request, reply) => {
      const { id, webhook_id, delivery_id } = request.params
      return reply
        .code(202)
        .send(operations.replayWebhookDelivery(request.context, id, webhook_id, delivery_id))
    },
  )
}
