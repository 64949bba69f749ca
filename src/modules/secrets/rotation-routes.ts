import { Type } from 'typebox'
import { readPageRequest, sendPage } from '../../http/pagination.ts'
import { IdParams, ListQuery } from '../../http/schema.ts'
import type { Server } from '../../http/server.ts'
import type { RotationOperations } from './rotation-operations.ts'
import { RecipientView, RotationView } from './rotation-schema.ts'

const tags = ['Secrets']
const access = { super_admin: true } as const

/** Routes of the node's key. */
export function rotationRoutes(server: Server, operations: RotationOperations): void {
  server.get(
    '/v1/secrets/recipient',
    {
      config: { access: { signed_in: true } },
      schema: {
        operationId: 'getRecipient',
        summary: 'Read the public key that a SOPS file for this node is encrypted for',
        tags,
        response: { 200: RecipientView },
      },
    },
    async () => operations.getRecipient(),
  )
  server.get(
    '/v1/secrets/rotations',
    {
      config: { access },
      schema: {
        operationId: 'listRotations',
        summary: "List rotations of the node's key, newest first",
        tags,
        querystring: ListQuery,
        response: { 200: Type.Array(RotationView) },
      },
    },
    async (request, reply) =>
      sendPage(request, reply, operations.listRotations(readPageRequest(request.query))),
  )
  server.post(
    '/v1/secrets/rotations',
    {
      config: { access },
      schema: {
        operationId: 'rotateNodeKey',
        summary: "Replace the node's key and seal everything anew, in the background",
        tags,
        response: { 202: RotationView },
      },
    },
    async (request, reply) => reply.code(202).send(operations.rotateNodeKey(request.context)),
  )
  server.get(
    '/v1/secrets/rotations/:id',
    {
      config: { access },
      schema: {
        operationId: 'getRotation',
        summary: "Read a rotation of the node's key",
        tags,
        params: IdParams,
        response: { 200: RotationView },
      },
    },
    async (request) => operations.getRotation(request.params.id),
  )
}
