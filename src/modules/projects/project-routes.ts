import { Type } from 'typebox'
import { readPageRequest, sendPage } from '../../http/pagination.ts'
import { IdParams, ListQuery } from '../../http/schema.ts'
import type { Server } from '../../http/server.ts'
import type { ProjectOperations } from './project-operations.ts'
import { ProjectCreate, ProjectReplace, ProjectView } from './project-schema.ts'

const tags = ['Projects']

/** Routes of api.md "Projects", without members, registries and credentials. */
export function projectRoutes(server: Server, operations: ProjectOperations): void {
  server.get(
    '/v1/projects',
    {
      config: { access: { signed_in: true } },
      schema: {
        operationId: 'listProjects',
        summary:
          'List the projects that you may see, newest first; values of shared_env are redacted in lists',
        tags,
        querystring: ListQuery,
        response: { 200: Type.Array(ProjectView) },
      },
    },
    async (request, reply) =>
      sendPage(
        request,
        reply,
        await operations.listProjects(request.context, readPageRequest(request.query)),
      ),
  )

  server.post(
    '/v1/projects',
    {
      config: { access: { super_admin: true } },
      schema: {
        operationId: 'createProject',
        summary: 'Create a project',
        tags,
        body: ProjectCreate,
        response: { 201: ProjectView },
      },
    },
    async (request, reply) =>
      reply.code(201).send(await operations.createProject(request.context, request.body)),
  )

  server.get(
    '/v1/projects/:id',
    {
      config: { access: { permission: 'projects.read', of: 'project' } },
      schema: {
        operationId: 'getProject',
        summary: 'Read a project',
        tags,
        params: IdParams,
        response: { 200: ProjectView },
      },
    },
    (request) => operations.getProject(request.context, request.params.id),
  )

  server.put(
    '/v1/projects/:id',
    {
      config: { access: { permission: 'projects.write', of: 'project' }, entity_tag: true },
      schema: {
        operationId: 'replaceProject',
        summary: 'Replace the settings of a project; name and shared_env stay as they are when left out',
        tags,
        params: IdParams,
        body: ProjectReplace,
        response: { 200: ProjectView },
      },
    },
    (request) => operations.replaceProject(request.context, request.params.id, request.body),
  )

  server.delete(
    '/v1/projects/:id',
    {
      config: { access: { permission: 'projects.write', of: 'project' }, entity_tag: true },
      schema: {
        operationId: 'deleteProject',
        summary: 'Delete a project that is empty',
        tags,
        params: IdParams,
        response: { 204: Type.Null() },
      },
    },
    async (request, reply) => {
      await operations.deleteProject(request.context, request.params.id)
      return reply.code(204).send(null)
    },
  )
}
