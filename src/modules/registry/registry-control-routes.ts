import { Type } from 'typebox'
import { readPageRequest, sendPage } from '../../http/pagination.ts'
import { IdParams, ListQuery, strictObject } from '../../http/schema.ts'
import type { Server } from '../../http/server.ts'
import type { ControlOperations } from './control-operations.ts'
import {
  CollectionReport,
  ManifestView,
  RegistryRulesBody,
  RegistryRulesView,
  RegistryStatusView,
  RepositoryView,
  TagView,
} from './registry-schema.ts'

const tags = ['Registry']
const Name = Type.String({ minLength: 1, maxLength: 255 })
const RepositoryParams = strictObject({
  project: Name,
  service: Type.String({
    minLength: 1,
    maxLength: 255,
    description: 'What follows the project in the name; slashes in it as %2F',
  }),
})
const TagParams = strictObject({ ...RepositoryParams.properties, tag: Name })
const DigestParams = strictObject({ ...RepositoryParams.properties, digest: Name })
const pull = { access: { permission: 'registry.pull' } } as const
const remove = { access: { permission: 'registry.delete' } } as const

/** Routes of api.md "Registry control", without the cache. */
export function registryControlRoutes(server: Server, operations: ControlOperations): void {
  listRoutes(server, operations)
  removalRoutes(server, operations)
  nodeRoutes(server, operations)
  ruleRoutes(server, operations)
}

function listRoutes(server: Server, operations: ControlOperations): void {
  server.get(
    '/v1/registry/repositories',
    {
      config: pull,
      schema: {
        operationId: 'listRepositories',
        summary: 'List the repositories that you may pull from, by name',
        tags,
        querystring: ListQuery,
        response: { 200: Type.Array(RepositoryView) },
      },
    },
    async (request, reply) =>
      sendPage(
        request,
        reply,
        await operations.listRepositories(request.context, readPageRequest(request.query)),
      ),
  )
  server.get(
    '/v1/registry/repositories/:project/:service/tags',
    {
      config: pull,
      schema: {
        operationId: 'listTags',
        summary: 'List the tags of a repository, by name',
        tags,
        params: RepositoryParams,
        querystring: ListQuery,
        response: { 200: Type.Array(TagView) },
      },
    },
    async (request, reply) =>
      sendPage(
        request,
        reply,
        await operations.listTags(request.context, request.params, readPageRequest(request.query)),
      ),
  )
  server.get(
    '/v1/registry/repositories/:project/:service/manifests',
    {
      config: pull,
      schema: {
        operationId: 'listManifests',
        summary: 'List the manifests of a repository, newest first',
        tags,
        params: RepositoryParams,
        querystring: ListQuery,
        response: { 200: Type.Array(ManifestView) },
      },
    },
    async (request, reply) =>
      sendPage(
        request,
        reply,
        await operations.listManifests(request.context, request.params, readPageRequest(request.query)),
      ),
  )
}

function removalRoutes(server: Server, operations: ControlOperations): void {
  server.delete(
    '/v1/registry/repositories/:project/:service',
    {
      config: remove,
      schema: {
        operationId: 'deleteRepository',
        summary: 'Delete a repository with all that is in it; refused while a release needs it',
        tags,
        params: RepositoryParams,
        response: { 204: Type.Null() },
      },
    },
    async (request, reply) => {
      operations.deleteRepository(request.context, request.params)
      return reply.code(204).send(null)
    },
  )
  server.delete(
    '/v1/registry/repositories/:project/:service/manifests/:digest',
    {
      config: remove,
      schema: {
        operationId: 'deleteManifest',
        summary: 'Delete a manifest and its tags; refused while a release needs it',
        tags,
        params: DigestParams,
        response: { 204: Type.Null() },
      },
    },
    async (request, reply) => {
      operations.deleteManifest(request.context, request.params, request.params.digest)
      return reply.code(204).send(null)
    },
  )
  server.delete(
    '/v1/registry/repositories/:project/:service/tags/:tag',
    {
      config: remove,
      schema: {
        operationId: 'deleteTag',
        summary: 'Delete a tag; its manifest stays',
        tags,
        params: TagParams,
        response: { 204: Type.Null() },
      },
    },
    async (request, reply) => {
      operations.deleteTag(request.context, request.params, request.params.tag)
      return reply.code(204).send(null)
    },
  )
}

function nodeRoutes(server: Server, operations: ControlOperations): void {
  server.get(
    '/v1/registry/status',
    {
      config: pull,
      schema: {
        operationId: 'getRegistryStatus',
        summary: 'What the registry holds, and its last collection',
        tags,
        response: { 200: RegistryStatusView },
      },
    },
    () => operations.getStatus(),
  )
  server.post(
    '/v1/registry/gc',
    {
      config: { access: { super_admin: true } },
      schema: {
        operationId: 'collectRegistry',
        summary: 'Remove what no manifest, rule or push needs, now; pushes go on meanwhile',
        tags,
        querystring: strictObject({ dry_run: Type.Optional(Type.Boolean({ description: 'Only tell' })) }),
        response: { 200: CollectionReport },
      },
    },
    (request) => operations.collect(request.context, request.query.dry_run === true, request.signal),
  )
}

function ruleRoutes(server: Server, operations: ControlOperations): void {
  server.get(
    '/v1/projects/:id/registry-rules',
    {
      config: { access: { permission: 'registry.pull', of: 'project' } },
      schema: {
        operationId: 'getRegistryRules',
        summary: 'Quota, immutable tags and retention of the repositories of a project',
        tags,
        params: IdParams,
        response: { 200: RegistryRulesView },
      },
    },
    async (request) => operations.getRules(request.context, request.params.id),
  )
  server.put(
    '/v1/projects/:id/registry-rules',
    {
      config: { access: { permission: 'registry.delete', of: 'project' }, entity_tag: true },
      schema: {
        operationId: 'replaceRegistryRules',
        summary: 'Replace quota, immutable tags and retention of a project',
        tags,
        params: IdParams,
        body: RegistryRulesBody,
        response: { 200: RegistryRulesView },
      },
    },
    async (request) => operations.replaceRules(request.context, request.params.id, request.body),
  )
}
