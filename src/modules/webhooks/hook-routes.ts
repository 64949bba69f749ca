import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Static } from 'typebox'
import type { Server } from '../../http/server.ts'
import type { WebhookOperations } from './webhook-operations.ts'
import { DeliveryReceipt, HookParams } from './webhook-schema.ts'

/** Pushes of a thousand commits have a few megabytes. */
const MAX_BODY = 8 * 1024 ** 2

/** Where forges send to. */
export function hookRoutes(server: Server, operations: WebhookOperations): void {
  // In a plugin of its own, because the signature is over the very bytes.
  void server.register(async (scope) => {
    scope.removeAllContentTypeParsers()
    scope.addContentTypeParser('*', { parseAs: 'buffer', bodyLimit: MAX_BODY }, (_request, body, done) =>
      done(null, body),
    )
    boundBodies(scope, operations)
    addRoute(scope, operations)
  })
}

function addRoute(server: Server, operations: WebhookOperations): void {
  server.post(
    '/v1/hooks/:webhook_id',
    {
      bodyLimit: MAX_BODY,
      config: { access: { public: true } },
      schema: {
        operationId: 'receiveWebhook',
        summary: 'Where GitHub, GitLab, Gitea and Forgejo send pushes to',
        description:
          'The body is signed with the secret of the webhook: X-Hub-Signature-256, X-Forgejo-Signature or X-Gitea-Signature, webhook-signature or X-Gitlab-Token. It is stored before it is answered. An unknown id and a wrong signature are answered alike, the former before the body is read.',
        tags: ['webhooks'],
        params: HookParams,
        consumes: ['*/*'],
        response: { 202: DeliveryReceipt },
      },
    },
    async (request, reply) => {
      const receipt = await operations.receiveWebhook(request.params.webhook_id, {
        fields: request.headers,
        body: Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0),
        request_id: request.id,
        client_address: request.ip,
      })
      return reply.code(202).send(receipt)
    },
  )
}

/** Before the body is read: who knows no webhook has none of its bytes held, and who knows one holds a bounded number of them. */
function boundBodies(server: Server, operations: WebhookOperations): void {
  server.addHook('preParsing', async (request: FastifyRequest, reply: FastifyReply) => {
    const { webhook_id: id } = request.params as Static<typeof HookParams>
    const length = Number(request.headers['content-length'] ?? Number.POSITIVE_INFINITY)
    // Also when the client goes away in the middle.
    reply.raw.once('close', operations.admitBody(id, length))
  })
}
