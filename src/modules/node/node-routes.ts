import { Type } from 'typebox'
import { readPageRequest, sendPage } from '../../http/pagination.ts'
import { ListQuery } from '../../http/schema.ts'
import type { Server } from '../../http/server.ts'
import { pageOfAll } from '../../lib/page.ts'
import type { NodeOperations } from './node-operations.ts'
import { Health, NodeInfo, Readiness, WorkerStatusSchema } from './node-schema.ts'

const tags = ['node']

/** Probes, and what the machine and the daemon are doing. */
export function nodeRoutes(server: Server, operations: NodeOperations): void {
  server.get(
    '/healthz',
    {
      config: { access: { public: true }, unlimited: true },
      schema: {
        operationId: 'readHealth',
        summary: 'Whether the daemon runs',
        tags,
        response: { 200: Health },
      },
    },
    async () => ({ status: 'ok' as const, ok: true }),
  )
  server.get(
    '/readyz',
    {
      config: { access: { public: true }, unlimited: true },
      schema: {
        operationId: 'readReadiness',
        summary: 'Whether every part works',
        tags,
        response: { 200: Readiness, 503: Readiness },
      },
    },
    async (_request, reply) => {
      const readiness = await operations.readReadiness()
      void reply.code(readiness.status === 'ready' ? 200 : 503)
      return readiness
    },
  )
  server.get(
    '/v1/node',
    {
      config: { access: { permission: 'projects.read' } },
      schema: {
        operationId: 'readNode',
        summary: 'Read what this machine is',
        tags,
        response: { 200: NodeInfo },
      },
    },
    async () => operations.readNode(),
  )
  server.get(
    '/v1/system/workers',
    {
      config: { access: { super_admin: true } },
      schema: {
        operationId: 'listWorkers',
        summary: 'List the background loops, by name: last run, duration and error',
        tags,
        querystring: ListQuery,
        response: { 200: Type.Array(WorkerStatusSchema) },
      },
    },
    async (request, reply) =>
      sendPage(
        request,
        reply,
        pageOfAll(operations.listWorkers(), readPageRequest(request.query), ({ name }) => name),
      ),
  )
}
