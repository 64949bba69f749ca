import { Type } from 'typebox'
import { readPageRequest, sendPage } from '../../http/pagination.ts'
import { IdInPath, IdParams, ListQuery, strictObject } from '../../http/schema.ts'
import type { Server } from '../../http/server.ts'
import { ServiceCreate, ServicePatch, ServiceReplace } from './service-input-schema.ts'
import { serviceEnvRoutes } from './service-env-routes.ts'
import type { ServiceOperations } from './service-operations.ts'
import { serviceRunRoutes } from './service-run-routes.ts'
import { ServiceView, Workload } from './service-view-schema.ts'

const tags = ['Services']
const readable = { access: { permission: 'services.read', of: 'service' } } as const
const writable = { access: { permission: 'services.write', of: 'service' } } as const

const UNATTENDED =
  'Where pushes are deployed without anybody being asked afterwards (`auto_deploy`, an enabled webhook), a change of the source, the build, `command` or `release_command` needs `deployments.create` as well.'

/** Routes of api.md "Services" and the list of workloads. */
export function serviceRoutes(server: Server, operations: ServiceOperations): void {
  collectionRoutes(server, operations)
  resourceRoutes(server, operations)
  serviceEnvRoutes(server, operations)
  serviceRunRoutes(server, operations)
}

function collectionRoutes(server: Server, operations: ServiceOperations): void {
  server.get(
    '/v1/services',
    {
      config: { access: { signed_in: true } },
      schema: {
        operationId: 'listServices',
        summary: 'List the services that you may see, newest first; values of env are redacted in lists',
        tags,
        querystring: strictObject({ ...ListQuery.properties, project_id: Type.Optional(IdInPath) }),
        response: { 200: Type.Array(ServiceView) },
      },
    },
    async (request, reply) =>
      sendPage(
        request,
        reply,
        await operations.listServices(
          request.context,
          request.query.project_id,
          readPageRequest(request.query),
        ),
      ),
  )

  server.post(
    '/v1/services',
    {
      config: { access: { permission: 'services.write' } },
      schema: {
        operationId: 'createService',
        summary: 'Create a service',
        description: '`auto_deploy` needs `deployments.create` as well.',
        tags,
        body: ServiceCreate,
        response: { 201: ServiceView },
      },
    },
    async (request, reply) =>
      reply.code(201).send(await operations.createService(request.context, request.body)),
  )

  server.get(
    '/v1/workloads',
    {
      config: { access: { signed_in: true } },
      schema: {
        operationId: 'listWorkloads',
        summary: 'List one short row for each service that you may see, newest first',
        tags,
        querystring: ListQuery,
        response: { 200: Type.Array(Workload) },
      },
    },
    async (request, reply) =>
      sendPage(request, reply, operations.listWorkloads(request.context, readPageRequest(request.query))),
  )
}

function resourceRoutes(server: Server, operations: ServiceOperations): void {
  server.get(
    '/v1/services/:id',
    {
      config: readable,
      schema: {
        operationId: 'getService',
        summary: 'Read a service',
        tags,
        params: IdParams,
        response: { 200: ServiceView },
      },
    },
    (request) => operations.getService(request.context, request.params.id),
  )

  server.put(
    '/v1/services/:id',
    {
      config: { ...writable, entity_tag: true },
      schema: {
        operationId: 'replaceService',
        summary:
          'Replace the settings of a service; what is left out takes its default, but env then stays as it is',
        description: UNATTENDED,
        tags,
        params: IdParams,
        body: ServiceReplace,
        response: { 200: ServiceView },
      },
    },
    (request) => operations.replaceService(request.context, request.params.id, request.body),
  )

  server.patch(
    '/v1/services/:id',
    {
      config: { ...writable, entity_tag: true },
      schema: {
        operationId: 'updateService',
        summary:
          'Change the settings that are sent; objects are merged, lists, build_args and env are replaced',
        description: UNATTENDED,
        tags,
        params: IdParams,
        body: ServicePatch,
        response: { 200: ServiceView },
      },
    },
    (request) => operations.updateService(request.context, request.params.id, request.body),
  )

  server.delete(
    '/v1/services/:id',
    {
      config: { ...writable, entity_tag: true },
      schema: {
        operationId: 'deleteService',
        summary:
          'Delete a service: it takes no request from the answer on, what it left is removed in the background',
        description: 'When it has domains, `domains.write` is needed as well.',
        tags,
        params: IdParams,
        querystring: strictObject({
          keep_images: Type.Optional(Type.Boolean()),
          delete_volumes: Type.Optional(
            Type.Boolean({
              description:
                'Needed when it has volumes: what is in them is lost. Then `volumes.write` is needed as well.',
            }),
          ),
        }),
        response: { 204: Type.Null() },
      },
    },
    async (request, reply) => {
      await operations.deleteService(request.context, request.params.id, {
        keepImages: request.query.keep_images === true,
        deleteVolumes: request.query.delete_volumes === true,
      })
      return reply.code(204).send(null)
    },
  )
}
