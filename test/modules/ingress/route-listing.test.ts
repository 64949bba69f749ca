import { test } from 'tap'
import type { Route } from '../../../src/ingress/contract/route-table.ts'
import { createRouteListing } from '../../../src/modules/ingress/route-listing-operations.ts'
import { routeListingRoutes } from '../../../src/modules/ingress/route-listing-routes.ts'
import { openIdentityApi } from '../../support/identity-api.ts'

const SERVICE = '0192f0c1-7a00-7000-8000-000000000001'

function route(hostname: string, upstreams: string[]): Route {
  return {
    hostname,
    label: 'shop/web',
    service_id: SERVICE,
    upstreams: upstreams.map((id) => ({ id, address: '172.20.0.5', port: 8080, deployment_id: SERVICE })),
  }
}

async function openListing(t: Parameters<typeof openIdentityApi>[0], routes: Route[]) {
  const worker = (requests: number) => ({ upstreams: [{ id: 'one', requests, upgraded: 1 }] })
  return openIdentityApi(t, {
    addRoutes: (server) =>
      routeListingRoutes(
        server,
        createRouteListing({
          routes: () => ({ version: 7, routes }),
          status: async () => ({ workers: [worker(2), worker(3)] }) as never,
        }),
      ),
  })
}

test('super-admins see each route with what runs through it, over all ingress processes', async (t) => {
  const api = await openListing(t, [route('b.example', ['one', 'two']), route('a.example', [])])
  const root = await api.bootstrap()
  const { list } = await api.send(root, 'GET', '/v1/ingress/routes')
  const upstream = { address: '172.20.0.5', port: 8080, deployment_id: SERVICE }
  const common = { label: 'shop/web', service_id: SERVICE, table_version: 7 }
  t.same(list, [
    { hostname: 'a.example', ...common, upstreams: [] },
    {
      hostname: 'b.example',
      ...common,
      upstreams: [
        { id: 'one', ...upstream, requests: 5, upgraded: 2 },
        { id: 'two', ...upstream, requests: 0, upgraded: 0 },
      ],
    },
  ])
  const plain = await api.addUser(root, 'plain')
  t.equal((await api.send(plain.session, 'GET', '/v1/ingress/routes')).status, 403)
})

test('a long table comes in pages, each route once', async (t) => {
  const hosts = Array.from({ length: 25 }, (_, at) => `h${String(at).padStart(2, '0')}.example`)
  const api = await openListing(
    t,
    hosts.map((host) => route(host, [])),
  )
  const root = await api.bootstrap()
  const seen: unknown[] = []
  let path: string | undefined = '/v1/ingress/routes?limit=10'
  while (path !== undefined) {
    const answer = await api.send(root, 'GET', path)
    seen.push(...answer.list.map((each) => each['hostname']))
    path = /<(.*)>; rel="next"/.exec(String(answer.headers['link'] ?? ''))?.[1]
  }
  t.same(seen, hosts)
})
