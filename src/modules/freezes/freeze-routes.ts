import { Type } from 'typebox'
import type { RouteAccess } from '../../http/access.ts'
import { IdParams, strictObject } from '../../http/schema.ts'
import type { Server } from '../../http/server.ts'
import type { FreezeOperations } from './freeze-operations.ts'
import { FreezeBody, FreezeView } from './freeze-schema.ts'

const tags = ['freezes']

interface Place {
  path: string
  noun: 'Project' | 'Node'
  params: typeof IdParams | ReturnType<typeof strictObject>
  read: RouteAccess
  write: RouteAccess
  projectOf: (params: { id?: string }) => string | null
}

const PLACES: readonly Place[] = [
  {
    path: '/v1/projects/:id/freeze',
    noun: 'Project',
    params: IdParams,
    read: { permission: 'projects.read', of: 'project' },
    write: { permission: 'projects.write', of: 'project' },
    projectOf: ({ id }) => id ?? null,
  },
  {
    path: '/v1/node/freeze',
    noun: 'Node',
    params: strictObject({}),
    read: { signed_in: true },
    write: { super_admin: true },
    projectOf: () => null,
  },
]

/** Routes that stop deployments for a while, of a project and of the node. */
export function freezeRoutes(server: Server, operations: FreezeOperations): void {
  for (const place of PLACES) placeRoutes(server, operations, place)
}

function placeRoutes(server: Server, operations: FreezeOperations, place: Place): void {
  const { path, noun, params, read, write, projectOf } = place
  const where = noun === 'Project' ? 'a project' : 'the node'
  server.get(
    path,
    {
      config: { access: read },
      schema: {
        operationId: `get${noun}Freeze`,
        summary: `Read whether and why deployments of ${where} are refused`,
        tags,
        params,
        response: { 200: FreezeView },
      },
    },
    async (request) => operations.getFreeze(request.context, projectOf(request.params)),
  )
  server.put(
    path,
    {
      config: { access: write, entity_tag: true },
      schema: {
        operationId: `freeze${noun}`,
        summary: `Refuse deployments of ${where}, for a reason; rollbacks are let in`,
        tags,
        params,
        body: FreezeBody,
        response: { 200: FreezeView },
      },
    },
    async (request) => operations.freeze(request.context, projectOf(request.params), request.body.reason),
  )
  server.delete(
    path,
    {
      config: { access: write, entity_tag: true },
      schema: {
        operationId: `unfreeze${noun}`,
        summary: `Let deployments of ${where} in again`,
        tags,
        params,
        response: { 204: Type.Null() },
      },
    },
    async (request, reply) => {
      operations.unfreeze(request.context, projectOf(request.params))
      return reply.code(204).send(null)
    },
  )
}
