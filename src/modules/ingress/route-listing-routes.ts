import { Type } from 'typebox'
import { readPageRequest, sendPage } from '../../http/pagination.ts'
import { ListQuery } from '../../http/schema.ts'
import type { Server } from '../../http/server.ts'
import type { RouteListingOperations } from './route-listing-operations.ts'
import { IngressRoute } from './route-listing-schema.ts'

/** What the ingress serves, for whoever looks after the node. */
export function routeListingRoutes(server: Server, operations: RouteListingOperations): void {
  server.get(
    '/v1/ingress/routes',
    {
      config: { access: { super_admin: true } },
      schema: {
        operationId: 'listIngressRoutes',
        summary: 'List the routes that the ingress serves now, by hostname',
        tags: ['node'],
        querystring: ListQuery,
        response: { 200: Type.Array(IngressRoute) },
      },
    },
    async (request, reply) =>
      sendPage(
        request,
        reply,
        await operations.listIngressRoutes(request.context, readPageRequest(request.query)),
      ),
  )
}
