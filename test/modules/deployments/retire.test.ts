import { test } from 'tap'
import { containerName } from '../../../src/modules/replicas/container-spec.ts'
import { AppError } from '../../../src/lib/errors.ts'
import { addService, deploy, openDelivery, over, release, until } from '../../support/delivery.ts'

const HOST = 'web.shop.localhost'

const DRAINS: [
  title: string,
  inFlight: { requests: number; upgraded: number },
  atLeast: number,
  atMost: number,
][] = [
  ['a request', { requests: 1, upgraded: 0 }, 30, 50],
  ['a WebSocket', { requests: 0, upgraded: 1 }, 60, 80],
]

for (const [title, inFlight, atLeast, atMost] of DRAINS) {
  test(`the old replica is stopped when ${title} in it has ended, and not before`, async (t) => {
    const world = await openDelivery(t)
    const daemon = await world.start()
    const service = await addService(world, daemon)
    const old = containerName(await release(world, daemon, service), 0)
    world.ingress.inFlight.set(old, inFlight)
    let stoppedWith: unknown
    world.controls.before('stopContainer', (name) => {
      stoppedWith ??= [name, world.ingress.inFlight.get(old), world.ingress.upstreamsOf(HOST)]
    })
    const id = await deploy(world, daemon, service)
    await until('it retires', () => daemon.stores.deployments.find(id)?.step === 'retire')
    t.same(world.ingress.upstreamsOf(HOST), [containerName(id, 0)])
    const begin = world.system.monotonic()
    await until('it waits a while', () => world.system.monotonic() - begin > 5_000)
    t.ok(world.running().includes(old))
    t.equal(stoppedWith, undefined)
    world.ingress.inFlight.delete(old)
    await over(daemon, id)
    t.same(stoppedWith, [old, undefined, [containerName(id, 0)]])
    t.notOk(world.containers().includes(old))
  })

  test(`${title} without end is cut after its time`, async (t) => {
    const world = await openDelivery(t)
    const daemon = await world.start()
    const service = await addService(world, daemon)
    const old = containerName(await release(world, daemon, service), 0)
    world.ingress.inFlight.set(old, inFlight)
    const id = await deploy(world, daemon, service)
    await until('it retires', () => daemon.stores.deployments.find(id)?.step === 'retire')
    const begin = world.system.monotonic()
    await over(daemon, id)
    const seconds = (world.system.monotonic() - begin) / 1000
    t.ok(seconds > atLeast - 3 && seconds < atMost, `${seconds} s`)
    t.match(world.logText(id), /Cutting \d requests and \d upgraded connections that took too long/)
    t.notOk(world.containers().includes(old))
  })
}

test('the old replicas get the grace period that their release had', async (t) => {
  const world = await openDelivery(t)
  const daemon = await world.start()
  const service = await addService(world, daemon, 'web', { stop_grace_seconds: 7 })
  await release(world, daemon, service)
  const graces: unknown[] = []
  world.controls.before('stopContainer', (_, grace) => void graces.push(grace))
  await release(world, daemon, service)
  t.same(graces, [7])
})

test('a next deployment does not wait for a long drain, and the drain goes on', async (t) => {
  const world = await openDelivery(t, { drainUpgradedSeconds: 3600 })
  const daemon = await world.start()
  const service = await addService(world, daemon)
  const first = containerName(await release(world, daemon, service), 0)
  world.ingress.inFlight.set(first, { requests: 0, upgraded: 3 })
  const second = await deploy(world, daemon, service)
  await until('it drains', () => daemon.stores.deployments.find(second)?.step === 'retire')
  const third = await deploy(world, daemon, service)
  t.match(await over(daemon, second), { status: 'Healthy' })
  t.match(world.logText(second), /The next deployment waits/)
  t.match(await over(daemon, third), { status: 'Healthy', replaces_id: second })
  t.same(world.running(), [first, containerName(third, 0)].toSorted())
  world.ingress.inFlight.clear()
  await until('the oldest is gone too', () => world.containers().join() === containerName(third, 0))
  t.same(world.errors, [])
})

test('a release is live when the ingress cannot be told, and nothing that it still routes to is stopped', async (t) => {
  const world = await openDelivery(t, { speed: 100 })
  const daemon = await world.start()
  const service = await addService(world, daemon)
  const old = containerName(await release(world, daemon, service), 0)
  world.ingress.broken = new AppError('DISK_FULL')
  const id = await deploy(world, daemon, service)
  t.match(await over(daemon, id), { status: 'Healthy', reason: null })
  t.match(
    world.logText(id),
    /There is not enough disk space\. The release is live; the rest is done in the background\./,
  )
  t.same(world.ingress.upstreamsOf(HOST), [old])
  t.same(world.running(), [old, containerName(id, 0)].toSorted())
  world.ingress.broken = undefined
  await until(
    'the new one gets the requests',
    () => world.ingress.upstreamsOf(HOST)?.[0] === containerName(id, 0),
  )
  await until('the old one is gone', () => world.containers().join() === containerName(id, 0))
})

test('an ingress that cannot say what runs through the old replicas keeps them for their time only', async (t) => {
  const world = await openDelivery(t, { speed: 100 })
  const daemon = await world.start()
  const service = await addService(world, daemon)
  const old = containerName(await release(world, daemon, service), 0)
  world.ingress.mute = new AppError('BUSY')
  const id = await deploy(world, daemon, service)
  await until('it retires', () => daemon.stores.deployments.find(id)?.step === 'retire')
  const begin = world.system.monotonic()
  t.match(await over(daemon, id), { status: 'Healthy' })
  await until('the old one is gone', () => !world.containers().includes(old))
  t.ok(world.system.monotonic() - begin > 55_000, 'it had its time')
})
