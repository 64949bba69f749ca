import { test } from 'tap'
import { containerName } from '../../../src/modules/replicas/container-spec.ts'
import { addService, openDelivery, OPERATOR, release, until } from '../../support/delivery.ts'

const HOST = 'web.shop.localhost'

test('replicas come with the load and go after it', async (t) => {
  const world = await openDelivery(t)
  const daemon = await world.start()
  const service = await addService(world, daemon, 'web', {
    resource_limits: { cpu_millis: 1000, memory_bytes: 100 * 1024 * 1024 },
    autoscale: { min_replicas: 1, max_replicas: 3, target_cpu_pct: 50, scale_down_cooldown_s: 30 },
  })
  // Processor time that a container has used so far, when it uses so much of one processor.
  let rate = 0.9
  const used = new Map<string, { at: number; us: number }>()
  const id = await release(world, daemon, service, {
    program: ({ name }) => ({
      usage: () => {
        const now = world.system.monotonic()
        const { at, us } = used.get(name) ?? { at: now, us: 0 }
        const total = us + (now - at) * 1000 * rate
        used.set(name, { at: now, us: total })
        return { cpu_us: total, memory_bytes: 1024 }
      },
    }),
  })
  const names = [0, 1, 2].map((index) => containerName(id, index))
  await until('there are as many as may be', () => world.ingress.upstreamsOf(HOST)?.length === 3)
  t.same(world.ingress.upstreamsOf(HOST), names)
  rate = 0.05
  const begin = world.system.monotonic()
  await until('one is left', () => world.containers().join() === names[0])
  t.ok(world.system.monotonic() - begin > 28_000, 'not before its time')
  t.match(await daemon.services.getService(OPERATOR, service), { replicas: 1, status: 'Running' })
  t.same(world.errors, [])
})

test('what writes into a volume is brought back to one replica, whatever was chosen before', async (t) => {
  const world = await openDelivery(t)
  const daemon = await world.start()
  const service = await addService(world, daemon, 'web', {
    volumes: [{ name: 'data', mount_path: '/data' }],
  })
  await release(world, daemon, service)
  const row = daemon.stores.services.find(service)
  if (!row) throw new Error('it is not there')
  const { autoscale } = await daemon.services.updateService(OPERATOR, service, {
    autoscale: { min_replicas: 1, max_replicas: 1 },
  })
  // As a daemon before this one left it: two are wanted, one may run, and nothing changes that.
  daemon.stores.services.update({
    ...row,
    replicas: 2,
    autoscale: autoscale && { ...autoscale, max_replicas: 4 },
  })
  await until('one is wanted', () => daemon.stores.services.find(service)?.replicas === 1)
  t.match(await daemon.services.getService(OPERATOR, service), { status: 'Running' })
  t.same(world.errors, [])
})

test('an idle service goes to sleep when nothing is open any more, and one request wakes it', async (t) => {
  const world = await openDelivery(t)
  const daemon = await world.start()
  const service = await addService(world, daemon, 'web', {
    autoscale: { min_replicas: 0, max_replicas: 2, idle_timeout_s: 60 },
  })
  const name = containerName(await release(world, daemon, service), 0)
  t.match(
    world.ingress.tables.at(-1)?.find(({ hostname }) => hostname === HOST),
    { hold_ms: 30_000 },
  )
  world.ingress.active.add(name)
  const begin = world.system.monotonic()
  await until('it would be asleep by now', () => world.system.monotonic() - begin > 120_000)
  t.same(world.ingress.upstreamsOf(HOST), [name], 'a connection is open')
  world.ingress.active.clear()
  const since = world.system.monotonic()
  await until('it sleeps', () => world.containers().length === 0)
  t.ok(world.system.monotonic() - since > 55_000, 'not before its time')
  t.match(await daemon.services.getService(OPERATOR, service), { status: 'Sleeping', replicas: 0 })
  t.same(world.ingress.upstreamsOf(HOST), [])
  const starts = world.controls.calls('startContainer')
  for (let nth = 0; nth < 20; nth += 1) daemon.autoscaler.wake(service)
  await until('it is awake', () => world.ingress.upstreamsOf(HOST)?.[0] === name)
  daemon.autoscaler.wake(service)
  t.equal(world.controls.calls('startContainer') - starts, 1, 'one replica was started')
  t.match(await daemon.services.getService(OPERATOR, service), { status: 'Running', replicas: 1 })
  t.same(world.errors, [])
})

test('a service that sleeps is deployed without waking it, and a stopped one is not woken', async (t) => {
  const world = await openDelivery(t, { speed: 60 })
  const daemon = await world.start()
  const service = await addService(world, daemon, 'web', {
    autoscale: { min_replicas: 0, max_replicas: 2, idle_timeout_s: 10 },
  })
  await release(world, daemon, service)
  await until('it sleeps', () => world.containers().length === 0)
  const next = await release(world, daemon, service)
  await until('its proof is gone again', () => world.containers().length === 0)
  t.match(await daemon.services.getService(OPERATOR, service), {
    status: 'Sleeping',
    live_deployment_id: next,
  })
  await daemon.services.stopService(OPERATOR, service)
  daemon.autoscaler.wake(service)
  t.equal(daemon.stores.services.find(service)?.replicas, 0)
  await daemon.services.startService(OPERATOR, service)
  daemon.autoscaler.wake(service)
  await until('it is awake', () => world.ingress.upstreamsOf(HOST)?.[0] === containerName(next, 0))
})

test('nobody falls asleep while the ingress cannot say what runs, and what cannot start holds no requests', async (t) => {
  const world = await openDelivery(t, { speed: 60 })
  const daemon = await world.start()
  const service = await addService(world, daemon, 'web', {
    autoscale: { min_replicas: 0, max_replicas: 2, idle_timeout_s: 10 },
  })
  const program: { refuse?: string } = {}
  world.ingress.mute = new Error('mute')
  const name = containerName(await release(world, daemon, service, { program: () => program }), 0)
  const begin = world.system.monotonic()
  await until('it would be asleep by now', () => world.system.monotonic() - begin > 60_000)
  t.same(world.running(), [name])
  world.ingress.mute = undefined
  await until('it sleeps', () => world.containers().length === 0)
  program.refuse = 'no such program'
  daemon.autoscaler.wake(service)
  await until('it has tried', () => daemon.stores.replicas.find(name)?.reason?.includes('no such program'))
  await until('nobody waits for it', () => {
    const route = world.ingress.tables.at(-1)?.find(({ hostname }) => hostname === HOST)
    return route !== undefined && route.hold_ms === undefined
  })
  t.pass()
})
