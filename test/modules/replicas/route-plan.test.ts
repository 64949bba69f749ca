import { test } from 'tap'
import { packRouteTable, parseRouteTable } from '../../../src/ingress/contract/route-table.ts'
import { planRoutes, type RoutedService } from '../../../src/modules/replicas/route-plan.ts'
import { row } from './replica-rows.ts'

const web: RoutedService = {
  service_id: 'service',
  label: 'shop/web',
  https_only: [],
  rules: undefined,
  canonical: new Map(),
  hostnames: ['web.shop.localhost'],
  releases: [{ deployment_id: 'live', port: 8080 }],
  canary: null,
  running: true,
  sleeps: false,
  stops_first: false,
  taken_over: false,
}
const upstream = (index: number, address: string) => ({
  id: `berth-live-${index}`,
  address,
  port: 8080,
  deployment_id: 'live',
})

const TABLE: [
  title: string,
  service: Partial<RoutedService>,
  rows: ReturnType<typeof row>[],
  upstreams: object[],
][] = [
  ['one replica is well', {}, [row('live')], [upstream(0, '10.0.0.1')]],
  [
    'two are well',
    {},
    [row('live', 0), row('live', 1, { address: '10.0.0.2' })],
    [upstream(0, '10.0.0.1'), upstream(1, '10.0.0.2')],
  ],
  [
    'only those that are well get requests',
    {},
    (['Starting', 'Unhealthy', 'CrashLoop', 'Exited', 'Draining'] as const).map((status, index) =>
      row('live', index, { status }),
    ),
    [],
  ],
  ['a replica of another release is well', {}, [row('next')], []],
  ['a replica that is well has no address', {}, [row('live', 0, { address: null })], []],
  ['the service is stopped', { running: false }, [row('live')], []],
]

for (const [title, service, rows, upstreams] of TABLE) {
  test(`routes: ${title}`, async (t) => {
    const routes = planRoutes([{ ...web, ...service }], rows)
    const stopped = service.running === false && { stopped: true }
    t.same(routes, [
      { hostname: 'web.shop.localhost', label: 'shop/web', service_id: 'service', ...stopped, upstreams },
    ])
    t.ok(parseRouteTable({ version: 1, routes }), 'the ingress takes it')
  })
}

test('the replicas of a canary stand in the same route, with its share', async (t) => {
  const shared: RoutedService = {
    ...web,
    releases: [...web.releases, { deployment_id: 'next', port: 3000 }],
    canary: { deployment_id: 'next', percent: 5 },
  }
  const routes = planRoutes([shared], [row('live'), row('next', 0, { address: '10.0.0.9' })])
  t.match(routes, [
    {
      canary: { deployment_id: 'next', percent: 5 },
      upstreams: [
        upstream(0, '10.0.0.1'),
        { id: 'berth-next-0', address: '10.0.0.9', port: 3000, deployment_id: 'next' },
      ],
    },
  ])
  t.ok(parseRouteTable({ version: 1, routes }), 'the ingress takes it')
  for (const percent of [0, 100, 1.5, '5']) {
    const canary = { deployment_id: 'next', percent }
    t.notOk(parseRouteTable({ version: 1, routes: [{ ...routes[0], canary }] }))
  }
  t.match(planRoutes([{ ...shared, running: false }], [row('live'), row('next')]), [
    { upstreams: [], stopped: true },
  ])
})

test('the routes of all host names come in one order, whatever the order of services', async (t) => {
  const other = { ...web, service_id: 'other', hostnames: ['a.shop.localhost', 'z.shop.localhost'] }
  const names = (services: RoutedService[]) => planRoutes(services, []).map(({ hostname }) => hostname)
  const sorted = ['a.shop.localhost', 'web.shop.localhost', 'z.shop.localhost']
  t.same(names([web, other]), sorted)
  t.same(names([other, web]), sorted)
})

test('host names of a service share its rules, which the table has once', async (t) => {
  const rules = { redirects: [{ path: '/old', exact: false, to: `/${'t'.repeat(2000)}`, status: 308 }] }
  const hostnames = Array.from({ length: 45 }, (_, index) => `s${index}.example.com`)
  const shop = { ...web, hostnames, rules, canonical: new Map([['s0.example.com', 's1.example.com']]) }
  const table = { version: 7, routes: planRoutes([shop, { ...web, service_id: 'bare' }], []) }
  const packed = JSON.stringify(packRouteTable(table))
  t.equal(packed.match(/t{2000}/g)?.length, 1)
  const read = parseRouteTable(JSON.parse(packed))
  t.same(read, table)
  t.equal(read?.routes[0]?.rules, read?.routes[44]?.rules, 'it is one object again')
  t.same(parseRouteTable(table), table, 'one of an earlier Berth has them in each route')
  t.notOk(parseRouteTable({ ...JSON.parse(packed), rules: [] }), 'no route is read without its rules')
})

const holdOf = (fields: Partial<RoutedService>, rows: ReturnType<typeof row>[]): number | undefined =>
  planRoutes([{ ...web, ...fields }], rows)[0]?.hold_ms

test('requests wait for a replica that is being replaced, and only then', (t) => {
  t.equal(holdOf({}, []), undefined, 'it does not write into volumes')
  t.equal(holdOf({ stops_first: true }, []), 120_000)
  t.equal(holdOf({ stops_first: true }, [row('live')]), 120_000)
  t.equal(holdOf({ stops_first: true }, [row('live', 0, { status: 'Starting' })]), 120_000)
  for (const status of ['CrashLoop', 'Exited', 'Unhealthy'] as const)
    t.equal(holdOf({ stops_first: true }, [row('live', 0, { status })]), undefined, status)
  t.equal(holdOf({ taken_over: true }, [row('live', 0, { status: 'Exited' })]), 120_000)
  t.equal(holdOf({ taken_over: true, running: false }, []), undefined, 'it is stopped')
  t.end()
})
