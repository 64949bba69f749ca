import { test } from 'tap'
import { containerName } from '../../../src/modules/replicas/container-spec.ts'
import {
  addService,
  type Delivery,
  type DeliveryDaemon,
  openDelivery,
  OPERATOR,
  release,
  type Source,
  until,
} from '../../support/delivery.ts'

const HOST = 'web.shop.localhost'
const WATCHED = { health_check: { live_interval_seconds: 1, live_failures: 3 } }

/** An application that can be made to hang: its probes are answered with this status from then on, by those containers that run now. */
function hangable(): { source: Source; hang: (status: number) => void } {
  const births = new Map<string, number>()
  let generation = 0
  let status = 200
  return {
    source: {
      // Each start of a container gives it an address of its own.
      answer: (request, response) => {
        const born = births.get(request.socket.localAddress ?? '') ?? generation
        births.set(request.socket.localAddress ?? '', born)
        response.writeHead(born < generation ? status : 200).end()
      },
    },
    hang: (next) => {
      generation += 1
      status = next
    },
  }
}
const routed = (world: Delivery, ...names: string[]): Promise<unknown> =>
  until(
    `${names.join()} get the requests`,
    () => world.ingress.upstreamsOf(HOST)?.toSorted().join() === names.toSorted().join(),
  )

test('a replica that fails its probes leaves the routes, finishes its requests and is replaced', async (t) => {
  const world = await openDelivery(t)
  const daemon = await world.start()
  const service = await addService(world, daemon, 'web', WATCHED)
  const app = hangable()
  const name = containerName(await release(world, daemon, service, app.source), 0)
  const before = world.controls.container(name)?.id
  world.ingress.inFlight.set(name, { requests: 1, upgraded: 1 })
  const stops: unknown[] = []
  world.controls.before('stopContainer', () => {
    stops.push([world.ingress.upstreamsOf(HOST), world.ingress.inFlight.get(name)?.requests])
  })
  app.hang(500)
  await routed(world)
  t.match(daemon.stores.replicas.find(name), {
    status: 'Unhealthy',
    reason: 'failed its health check 3 times in a row: GET /: 500',
  })
  t.equal((await daemon.services.getService(OPERATOR, service)).status, 'Degraded')
  const since = world.system.monotonic()
  await until('it waits a while', () => world.system.monotonic() - since > 3_000)
  t.equal(world.controls.container(name)?.id, before, 'it still has a request')
  world.ingress.inFlight.set(name, { requests: 0, upgraded: 0 })
  await routed(world, name)
  t.not(world.controls.container(name)?.id, before, 'it is a new container')
  t.same(stops, [[[], 0]])
  t.match(daemon.stores.replicas.find(name), { status: 'Healthy', restarts: 1 })
  t.same(world.errors, [])
})

test('replicas that fail together are replaced one after the other', async (t) => {
  const world = await openDelivery(t)
  const daemon = await world.start()
  const service = await addService(world, daemon, 'web', { ...WATCHED, replicas: 2 })
  const app = hangable()
  const id = await release(world, daemon, service, app.source)
  const names = [containerName(id, 0), containerName(id, 1)]
  const ids = names.map((name) => world.controls.container(name)?.id)
  app.hang(500)
  await until('both are new', () =>
    names.every((name, index) => {
      const container = world.controls.container(name)
      return container?.phase === 'running' && container.id !== ids[index]
    }),
  )
  await routed(world, ...names)
  t.same(world.errors, [])
})

test('a probe that fails now and then changes nothing', async (t) => {
  const world = await openDelivery(t)
  const daemon = await world.start()
  const service = await addService(world, daemon, 'web', WATCHED)
  let asked = 0
  const name = containerName(
    await release(world, daemon, service, {
      answer: (_, response) => {
        asked += 1
        response.writeHead(asked > 2 && asked % 3 > 0 ? 500 : 200).end()
      },
    }),
    0,
  )
  await until('it was probed often', () => asked > 14)
  t.same(world.ingress.historyOf(HOST).at(-1), [name])
  t.match(daemon.stores.replicas.find(name), { status: 'Healthy', restarts: 0 })
  t.equal(world.controls.calls('stopContainer'), 0)
})

test('a replica that is never to be started again is only taken out of the routes, and comes back when it is well', async (t) => {
  const world = await openDelivery(t)
  const daemon = await world.start()
  const service = await addService(world, daemon, 'web', { ...WATCHED, restart: 'never' })
  let status = 200
  const answer: Source['answer'] = (_, response) => void response.writeHead(status).end()
  const name = containerName(await release(world, daemon, service, { answer }), 0)
  status = 500
  await routed(world)
  status = 200
  await routed(world, name)
  t.equal(world.controls.calls('stopContainer'), 0)
})

test('a replacement that a crash cut short is carried out by the next daemon', async (t) => {
  const world = await openDelivery(t)
  const first = await world.start()
  const service = await addService(world, first, 'web', WATCHED)
  const app = hangable()
  const name = containerName(await release(world, first, service, app.source), 0)
  const before = world.controls.container(name)?.id
  const isUnhealthy = (daemon: DeliveryDaemon): boolean =>
    daemon.stores.replicas.find(name)?.status === 'Unhealthy'
  world.ingress.inFlight.set(name, { requests: 1, upgraded: 0 })
  app.hang(500)
  await until('it is out of the routes', () => isUnhealthy(first))
  first.life.kill()
  world.ingress.inFlight.clear()
  await world.start()
  const since = world.system.monotonic()
  await until('it is a new one', () => world.controls.container(name)?.id !== before)
  t.ok(world.system.monotonic() - since < 120_000, 'it is not given the time of one that has just started')
  await routed(world, name)
  t.same(world.errors, [])
})
