import { type Page, pageOfAll, type PageRequest } from '../../lib/page.ts'
import type { Context } from '../identity/context.ts'
import type { Ingress } from './ingress-control.ts'
import type { IngressRoute } from './route-listing-schema.ts'

export interface RouteListingOperations {
  /** The table that the ingress serves, by hostname, with what each process says is under way. */
  listIngressRoutes(context: Context, page: PageRequest): Promise<Page<IngressRoute>>
}

export function createRouteListing(ingress: Pick<Ingress, 'routes' | 'status'>): RouteListingOperations {
  return {
    listIngressRoutes: async (_context, request) => {
      const busy = await countByUpstream(ingress)
      const { version, routes } = ingress.routes()
      const page = pageOfAll(routes, request, ({ hostname }) => hostname)
      const items = page.items.map(({ hostname, label, service_id, canary, upstreams }) => ({
        hostname,
        label,
        service_id,
        ...(canary && { canary }),
        table_version: version,
        upstreams: upstreams.map((upstream) => ({ ...upstream, ...(busy.get(upstream.id) ?? IDLE) })),
      }))
      return { ...page, items }
    },
  }
}

const IDLE = { requests: 0, upgraded: 0 }

async function countByUpstream(ingress: Pick<Ingress, 'status'>): Promise<Map<string, typeof IDLE>> {
  const counts = new Map<string, typeof IDLE>()
  for (const worker of (await ingress.status()).workers) {
    for (const { id, requests, upgraded } of worker.upstreams) {
      const sum = counts.get(id) ?? IDLE
      counts.set(id, { requests: sum.requests + requests, upgraded: sum.upgraded + upgraded })
    }
  }
  return counts
}
