import { Type } from 'typebox'
import { readPageRequest, sendPage } from '../../http/pagination.ts'
import { IdParams, ListQuery } from '../../http/schema.ts'
import type { Server } from '../../http/server.ts'
import type { ExternalRegistryOperations } from './external-registry-operations.ts'
import {
  ExternalRegistryCreate,
  ExternalRegistryParams,
  ExternalRegistryPatch,
  ExternalRegistryView,
} from './external-registry-schema.ts'

const tags = ['Projects']
const readable = { access: { permission: 'projects.read', of: 'project' } } as const
const writable = { access: { permission: 'credentials.write', of: 'project' } } as const
const COLLECTION = '/v1/projects/:id/registries'
const ONE = '/v1/projects/:id/registries/:registry_id'

/** Routes of api.md: the external registries of a project. */
export function externalRegistryRoutes(server: Server, operations: ExternalRegistryOperations): void {
  collectionRoutes(server, operations)
  resourceRoutes(server, operations)
}

function collectionRoutes(server: Server, operations: ExternalRegistryOperations): void {
  server.get(
    COLLECTION,
    {
      config: readable,
      schema: {
        operationId: 'listExternalRegistries',
        summary:
          "List a project's external registries, newest first; what is shown to them is never read back",
        tags,
        params: IdParams,
        querystring: ListQuery,
        response: { 200: Type.Array(ExternalRegistryView) },
      },
    },
    async (request, reply) =>
      sendPage(
        request,
        reply,
        operations.listExternalRegistries(request.context, request.params.id, readPageRequest(request.query)),
      ),
  )
  server.post(
    COLLECTION,
    {
      config: writable,
      schema: {
        operationId: 'createExternalRegistry',
        summary: 'Add an external registry with what it is shown',
        tags,
        params: IdParams,
        body: ExternalRegistryCreate,
        response: { 201: ExternalRegistryView },
      },
    },
    async (request, reply) =>
      reply
        .code(201)
        .send(await operations.createExternalRegistry(request.context, request.params.id, request.body)),
  )
}

function resourceRoutes(server: Server, operations: ExternalRegistryOperations): void {
  server.get(
    ONE,
    {
      config: readable,
      schema: {
        operationId: 'getExternalRegistry',
        summary: 'Read an external registry',
        tags,
        params: ExternalRegistryParams,
        response: { 200: ExternalRegistryView },
      },
    },
    async (request) =>
      operations.getExternalRegistry(request.context, request.params.id, request.params.registry_id),
  )
  server.put(
    ONE,
    {
      config: { ...writable, entity_tag: true },
      schema: {
        operationId: 'replaceExternalRegistry',
        summary: 'Replace an external registry, what it is shown too',
        tags,
        params: ExternalRegistryParams,
        body: ExternalRegistryCreate,
        response: { 200: ExternalRegistryView },
      },
    },
    ({ context, params, body }) =>
      operations.replaceExternalRegistry(context, params.id, params.registry_id, body),
  )
  server.patch(
    ONE,
    {
      config: { ...writable, entity_tag: true },
      schema: {
        operationId: 'updateExternalRegistry',
        summary: 'Change an external registry; another endpoint or auth_kind wants what it is shown anew',
        tags,
        params: ExternalRegistryParams,
        body: ExternalRegistryPatch,
        response: { 200: ExternalRegistryView },
      },
    },
    ({ context, params, body }) =>
      operations.updateExternalRegistry(context, params.id, params.registry_id, body),
  )
  server.delete(
    ONE,
    {
      config: { ...writable, entity_tag: true },
      schema: {
        operationId: 'deleteExternalRegistry',
        summary: 'Remove an external registry; refused while it is the source of a service',
        tags,
        params: ExternalRegistryParams,
        response: { 204: Type.Null() },
      },
    },
    async (request, reply) => {
      operations.deleteExternalRegistry(request.context, request.params.id, request.params.registry_id)
      return reply.code(204).send(null)
    },
  )
}
