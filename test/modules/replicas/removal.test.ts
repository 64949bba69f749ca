import { test } from 'tap'
import { containerName, networkName } from '../../../src/modules/replicas/container-spec.ts'
import {
  addService,
  deploy,
  openDelivery,
  OPERATOR,
  release,
  type Source,
  until,
} from '../../support/delivery.ts'

const remove = { keepImages: false }

test('a deleted service leaves no container, image, network, route or row', async (t) => {
  const world = await openDelivery(t)
  const daemon = await world.start()
  const service = await addService(world, daemon, 'web', { replicas: 2 })
  const first = await release(world, daemon, service)
  const second = await release(world, daemon, service)
  const other = await addService(world, daemon, 'other')
  const kept = await release(world, daemon, other)
  await daemon.services.deleteService(OPERATOR, service, remove)
  t.same(world.ingress.upstreamsOf('web.shop.localhost'), undefined, 'no request reaches it from here on')
  await until('its row is gone', () => daemon.stores.services.findAny(service) === undefined)
  t.same(world.containers(), [containerName(kept, 0)])
  t.same(
    [...world.fakeEngine.images.values()].flatMap(({ tags }) => tags),
    [`berth/shop/other:${kept}`],
  )
  t.same([...world.fakeEngine.networks.keys()], [networkName(world.project.id)], 'the other one needs it')
  t.same(
    daemon.stores.replicas.listAll().map(({ service_id }) => service_id),
    [other],
  )
  for (const id of [first, second]) t.equal(daemon.stores.deployments.find(id), undefined)
  t.same(
    world.database.all('SELECT path FROM registry_repositories'),
    [{ path: 'other' }],
    'nor a repository',
  )
  await daemon.services.deleteService(OPERATOR, other, remove)
  await until('the other one is gone', () => daemon.stores.services.findAny(other) === undefined)
  t.same([world.fakeEngine.networks.size, world.fakeEngine.images.size, world.containers().length], [0, 0, 0])
  t.same(world.ingress.tables.at(-1), [])
  t.same(world.errors, [])
})

const UNDER_WAY: [step: string, source: Source][] = [
  ['build', { until: new Promise(() => {}) }],
  ['check', { answer: (_, response) => void response.writeHead(503).end() }],
]

for (const [step, source] of UNDER_WAY) {
  test(`a service can be deleted during a deployment's ${step}, and while another one waits`, async (t) => {
    const world = await openDelivery(t)
    const daemon = await world.start()
    const service = await addService(world, daemon)
    await release(world, daemon, service)
    const id = await deploy(world, daemon, service, source)
    await until(`it is in ${step}`, () => daemon.stores.deployments.find(id)?.step === step)
    const waiting = await deploy(world, daemon, service)
    await daemon.services.deleteService(OPERATOR, service, remove)
    await until('its row is gone', () => daemon.stores.services.findAny(service) === undefined)
    t.same(
      [world.fakeEngine.networks.size, world.fakeEngine.images.size, world.containers().length],
      [0, 0, 0],
    )
    t.same(
      world.overs
        .slice(1)
        .map((each) => each.id)
        .toSorted(),
      [id, waiting].toSorted(),
      'their logs are closed',
    )
    t.equal(
      world.overs.slice(1).every(({ status }) => status === 'Cancelled'),
      true,
    )
    t.same(world.errors, [])
  })
}

test('a service can be deleted while its old replicas drain', async (t) => {
  const world = await openDelivery(t, { drainUpgradedSeconds: 3600 })
  const daemon = await world.start()
  const service = await addService(world, daemon)
  const old = containerName(await release(world, daemon, service), 0)
  world.ingress.inFlight.set(old, { requests: 0, upgraded: 1 })
  const id = await deploy(world, daemon, service)
  await until('it retires', () => daemon.stores.deployments.find(id)?.step === 'retire')
  await daemon.services.deleteService(OPERATOR, service, remove)
  await until('the new one is gone', () => world.containers().join() === old)
  t.match(world.overs.at(-1), { id, status: 'Healthy' })
  t.ok(daemon.stores.services.findAny(service), 'the row stays as long as anything is left')
  world.ingress.inFlight.clear()
  await until('its row is gone', () => daemon.stores.services.findAny(service) === undefined)
  t.same(world.containers(), [])
})

test('a deletion goes on when the engine was away', async (t) => {
  const world = await openDelivery(t)
  const daemon = await world.start()
  const service = await addService(world, daemon)
  await release(world, daemon, service)
  world.controls.setAway(true)
  await daemon.services.deleteService(OPERATOR, service, remove)
  const begin = world.system.monotonic()
  await until('a while is gone', () => world.system.monotonic() - begin > 5_000)
  t.ok(daemon.stores.services.findAny(service))
  world.controls.setAway(false)
  await until('its row is gone', () => daemon.stores.services.findAny(service) === undefined)
  t.same([world.fakeEngine.networks.size, world.fakeEngine.images.size, world.containers().length], [0, 0, 0])
})

test('a name is free at once, and the new service of that name keeps what is its own', async (t) => {
  const world = await openDelivery(t)
  const daemon = await world.start()
  const service = await addService(world, daemon)
  await release(world, daemon, service)
  await daemon.services.deleteService(OPERATOR, service, remove)
  const again = await addService(world, daemon)
  const id = await release(world, daemon, again)
  await until('the old row is gone', () => daemon.stores.services.findAny(service) === undefined)
  t.same(world.running(), [containerName(id, 0)])
  t.same(world.ingress.upstreamsOf('web.shop.localhost'), [containerName(id, 0)])
})
