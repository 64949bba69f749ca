import { test } from 'tap'
import { containerName } from '../../../src/modules/replicas/container-spec.ts'
import type { FakeProgram } from '../../../src/runtime/fake-engine.ts'
import {
  addService,
  type Delivery,
  type DeliveryDaemon,
  openDelivery,
  OPERATOR,
  release,
  until,
} from '../../support/delivery.ts'

const HOST = 'web.shop.localhost'

const routed = (world: Delivery, ...names: string[]): Promise<unknown> =>
  until(
    `${names.join()} get the requests`,
    () => world.ingress.upstreamsOf(HOST)?.toSorted().join() === names.toSorted().join(),
  )
const rowOf = (daemon: DeliveryDaemon, name: string) => daemon.stores.replicas.find(name)

test('a service is scaled up and down, and what goes is drained first', async (t) => {
  const world = await openDelivery(t)
  const daemon = await world.start()
  const service = await addService(world, daemon, 'web', { stop_grace_seconds: 4 })
  const id = await release(world, daemon, service)
  const names = [0, 1, 2].map((index) => containerName(id, index)) as [string, string, string]
  await daemon.services.scaleService(OPERATOR, service, 3)
  await routed(world, ...names)
  world.ingress.inFlight.set(names[2], { requests: 2, upgraded: 0 })
  const stops: unknown[] = []
  world.controls.before(
    'stopContainer',
    (...args) => void stops.push([...args, world.ingress.inFlight.get(names[2])]),
  )
  await daemon.services.scaleService(OPERATOR, service, 1)
  await routed(world, names[0])
  await until('the idle one is gone', () => !world.containers().includes(names[1]))
  t.ok(world.running().includes(names[2]), 'the busy one stays')
  world.ingress.inFlight.clear()
  await until('it is gone too', () => world.containers().join() === names[0])
  t.same(stops, [
    [names[1], 4, { requests: 2, upgraded: 0 }],
    [names[2], 4, undefined],
  ])
  t.same(
    daemon.stores.replicas.listAll().map(({ container_name }) => container_name),
    [names[0]],
  )
  t.same(world.errors, [])
})

test('a service is stopped and started again', async (t) => {
  const world = await openDelivery(t)
  const daemon = await world.start()
  const service = await addService(world, daemon)
  const name = containerName(await release(world, daemon, service), 0)
  await daemon.services.stopService(OPERATOR, service)
  t.same(
    world.ingress.upstreamsOf(HOST),
    [],
    'the name stays known, and no request comes once it is answered',
  )
  await until('nothing is left', () => world.containers().length === 0)
  t.equal((await daemon.services.getService(OPERATOR, service)).status, 'Stopped')
  await daemon.services.startService(OPERATOR, service)
  await routed(world, name)
  t.equal((await daemon.services.getService(OPERATOR, service)).status, 'Running')
})

test('a service that is scaled to nothing answers at once, and lets nobody wait', async (t) => {
  const world = await openDelivery(t)
  const daemon = await world.start()
  const service = await addService(world, daemon)
  const name = containerName(await release(world, daemon, service), 0)
  world.ingress.inFlight.set(name, { requests: 1, upgraded: 0 })
  const before = world.ingress.tables.length
  await daemon.services.scaleService(OPERATOR, service, 0)
  await until('it drains', () => rowOf(daemon, name)?.status === 'Draining')
  await daemon.routes.publish()
  const since = world.ingress.tables
    .slice(before)
    .flatMap((table) => table.find(({ hostname }) => hostname === HOST) ?? [])
  t.same(since.at(-1)?.upstreams, [])
  t.ok(since.every(({ hold_ms }) => hold_ms === undefined))
})

test('a stopped service that is started while it drains keeps its containers', async (t) => {
  const world = await openDelivery(t)
  const daemon = await world.start()
  const service = await addService(world, daemon)
  const name = containerName(await release(world, daemon, service), 0)
  const { id } = world.controls.container(name) ?? {}
  world.ingress.inFlight.set(name, { requests: 1, upgraded: 0 })
  await daemon.services.stopService(OPERATOR, service)
  await until('it drains', () => rowOf(daemon, name)?.status === 'Draining')
  await daemon.services.startService(OPERATOR, service)
  await routed(world, name)
  t.equal(world.controls.container(name)?.id, id)
  t.equal(world.controls.calls('stopContainer'), 0)
})

test('a container that someone removed comes back', async (t) => {
  const world = await openDelivery(t)
  const daemon = await world.start()
  const service = await addService(world, daemon)
  const name = containerName(await release(world, daemon, service), 0)
  const before = world.controls.container(name)
  world.controls.removeByHand(name)
  await routed(world)
  await routed(world, name)
  t.not(world.controls.container(name)?.id, before?.id)
  t.not(world.controls.container(name)?.address, before?.address)
  t.match(rowOf(daemon, name), { status: 'Healthy', restarts: 0 })
})

test('a replica that exits is started again, later and later, and its state says why', async (t) => {
  const world = await openDelivery(t)
  const daemon = await world.start()
  const service = await addService(world, daemon)
  const program: FakeProgram = {}
  const name = containerName(await release(world, daemon, service, { program: () => program }), 0)
  program.exit = { code: 3, after_ms: 100 }
  const starts: number[] = []
  world.controls.after('startContainer', () => void starts.push(world.system.monotonic()))
  const begin = world.system.monotonic()
  world.controls.exit(name, 1)
  await until('it is started four times', () => starts.length === 4)
  const pauses = [begin, ...starts]
    .slice(0, -1)
    .map((at, index) => Math.round(((starts[index] ?? 0) - at) / 1000))
  for (const [index, least] of [1, 2, 4, 8].entries())
    t.ok(
      (pauses[index] ?? 0) >= least - 1 && (pauses[index] ?? 0) < least + 6,
      `pause ${index}: ${pauses[index]} s`,
    )
  await until('it has exited', () => world.controls.container(name)?.phase === 'exited')
  await until('it is known', () => rowOf(daemon, name)?.status === 'CrashLoop')
  t.match(rowOf(daemon, name), { reason: 'exited with code 3', address: null })
  t.match(await daemon.services.getService(OPERATOR, service), {
    status: 'CrashLoop',
    status_reason: /^Replica 0: exited with code \d+ \(restarts: \d+\)$/,
  })
  t.same(world.ingress.upstreamsOf(HOST), [])
  // Whoever mends it need not wait for the pause.
  delete program.exit
  const { id } = await daemon.deployments.redeployService(OPERATOR, service)
  await routed(world, containerName(id, 0))
})

test('a replica that was well for long starts counting anew', async (t) => {
  const world = await openDelivery(t)
  const daemon = await world.start()
  const service = await addService(world, daemon)
  const name = containerName(await release(world, daemon, service), 0)
  for (const restarts of [1, 2]) {
    world.controls.exit(name, 1)
    await until(
      'it is well again',
      () => rowOf(daemon, name)?.restarts === restarts && rowOf(daemon, name)?.status === 'Healthy',
    )
  }
  world.system.skip(11 * 60_000)
  world.controls.exit(name, 1)
  await until('it counts from one', () => rowOf(daemon, name)?.restarts === 1)
})

const POLICIES: [restart: 'always' | 'on_failure' | 'never', code: number, comesBack: boolean][] = [
  ['always', 0, true],
  ['on_failure', 1, true],
  ['on_failure', 0, false],
  ['never', 1, false],
]

for (const [restart, code, comesBack] of POLICIES) {
  test(`with restart ${restart} a replica that exited with ${code} ${comesBack ? 'comes back' : 'stays as it is'}`, async (t) => {
    const world = await openDelivery(t)
    const daemon = await world.start()
    const service = await addService(world, daemon, 'web', { restart })
    const name = containerName(await release(world, daemon, service), 0)
    world.controls.exit(name, code)
    await routed(world)
    if (comesBack) {
      await routed(world, name)
      return
    }
    t.match(rowOf(daemon, name), {
      status: 'Exited',
      reason: `exited with code ${code}`,
      next_start_at: null,
    })
    const begin = world.system.monotonic()
    await until('nothing happens for a while', () => world.system.monotonic() - begin > 15_000)
    t.equal(world.controls.container(name)?.phase, 'exited')
  })
}

test('a replica whose container was started anew gets requests at its new address, once it is well', async (t) => {
  const world = await openDelivery(t)
  const daemon = await world.start()
  const service = await addService(world, daemon)
  let isWell = true
  const name = containerName(
    await release(world, daemon, service, {
      answer: (_, response) => void response.writeHead(isWell ? 200 : 503).end(),
    }),
    0,
  )
  const container = world.controls.container(name)
  const before = container?.address
  isWell = false
  if (container) {
    // As by docker restart: nobody of ours did it.
    container.phase = 'exited'
    await world.fakeEngine.start(container)
  }
  await routed(world)
  isWell = true
  await routed(world, name)
  const address = world.ingress.tables.at(-1)?.[0]?.upstreams[0]?.address
  t.equal(address, container?.address)
  t.not(address, before)
})

test('a replica that never gets well again is no longer asked every moment, and its state says why', async (t) => {
  const world = await openDelivery(t)
  const daemon = await world.start()
  const service = await addService(world, daemon, 'web', {
    health_check: { timeout_seconds: 20, interval_ms: 100 },
  })
  let isWell = true
  let asked = 0
  const name = containerName(
    await release(world, daemon, service, {
      answer: (_, response) => {
        asked += 1
        response.writeHead(isWell ? 200 : 500).end()
      },
    }),
    0,
  )
  isWell = false
  world.controls.exit(name, 1)
  await until('it is unhealthy', () => rowOf(daemon, name)?.status === 'Unhealthy')
  t.match(rowOf(daemon, name), { reason: 'did not pass its health check: GET /: 500', address: null })
  t.equal((await daemon.services.getService(OPERATOR, service)).status, 'Degraded')
  const [begin, askedBefore] = [world.system.monotonic(), asked]
  await until('a while is gone', () => world.system.monotonic() - begin > 20_000)
  t.ok(asked - askedBefore <= 8, `${asked - askedBefore} probes in 20 s`)
  isWell = true
  await routed(world, name)
  t.match(rowOf(daemon, name), { status: 'Healthy', reason: null })
})

test('a daemon that starts adopts what runs and touches nothing', async (t) => {
  const world = await openDelivery(t)
  const first = await world.start()
  const service = await addService(world, first, 'web', { replicas: 2 })
  const id = await release(world, first, service)
  await first.stop()
  const tables = world.ingress.tables.length
  const verbs = [
    'ensureContainer',
    'startContainer',
    'stopContainer',
    'removeContainer',
    'buildImage',
  ] as const
  const calls = () => verbs.map((verb) => world.controls.calls(verb))
  const before = calls()
  const second = await world.start()
  await until('it has looked', () => second.reconciler.worker.status().runs > 2)
  t.same(calls(), before)
  t.equal(world.ingress.tables.length, tables, 'the routes did not change')
  t.same(world.running(), [containerName(id, 0), containerName(id, 1)])
  t.same(world.errors, [])
})

test('what happened while no daemon ran is put right', async (t) => {
  const world = await openDelivery(t)
  const first = await world.start()
  const service = await addService(world, first, 'web', { replicas: 3 })
  const id = await release(world, first, service)
  const [zero, one, two] = [0, 1, 2].map((index) => containerName(id, index)) as [string, string, string]
  await first.stop()
  world.controls.removeByHand(zero)
  world.controls.exit(one, 137, true)
  const second = await world.start()
  await until('the exit is known', () => second.stores.replicas.find(one)?.reason?.includes('memory'))
  await routed(world, zero, one, two)
  t.ok(
    world.ingress.historyOf(HOST).every((upstreams) => upstreams?.includes(two)),
    'the one that was well stayed',
  )
})

test('a daemon that was away for long gives requests their whole time all the same', async (t) => {
  const world = await openDelivery(t)
  const first = await world.start()
  const service = await addService(world, first)
  const name = containerName(await release(world, first, service), 0)
  world.ingress.inFlight.set(name, { requests: 1, upgraded: 0 })
  await first.services.stopService(OPERATOR, service)
  await until('it drains', () => rowOf(first, name)?.status === 'Draining')
  await first.stop()
  world.system.skip(3600_000)
  await world.start()
  const begin = world.system.monotonic()
  await until('it is stopped', () => !world.running().includes(name))
  t.ok(world.system.monotonic() - begin > 27_000)
})

test('a replica that takes long to stop holds up nobody else', async (t) => {
  const world = await openDelivery(t)
  const daemon = await world.start()
  const slow = await addService(world, daemon, 'slow', { stop_grace_seconds: 300 })
  await release(world, daemon, slow, { program: { sigterm: 'ignore' } })
  const web = await addService(world, daemon)
  const name = containerName(await release(world, daemon, web), 0)
  await daemon.services.stopService(OPERATOR, slow)
  await until('it is being stopped', () => world.controls.calls('stopContainer') === 1)
  world.controls.exit(name, 1)
  await routed(world)
  await routed(world, name)
  t.equal(world.running().length, 2, 'the slow one still runs')
  const begin = performance.now()
  await daemon.stop()
  t.ok(performance.now() - begin < 10_000, 'nor does it hold up the end of the daemon')
})

test('work goes on by itself when the engine was away, and its absence is told once', async (t) => {
  const world = await openDelivery(t)
  const daemon = await world.start()
  const service = await addService(world, daemon)
  const name = containerName(await release(world, daemon, service), 0)
  world.controls.setAway(true)
  world.controls.exit(name, 1)
  const begin = world.system.monotonic()
  await until('a while is gone', () => world.system.monotonic() - begin > 20_000)
  t.same(world.ingress.upstreamsOf(HOST), [name], 'nothing is taken away on no word')
  t.equal(world.errors.length, 1)
  world.controls.setAway(false)
  await routed(world, name)
  await until('it is well', () => rowOf(daemon, name)?.status === 'Healthy')
})

test('a container that the engine refuses is tried again with pauses, and its state says why', async (t) => {
  const world = await openDelivery(t)
  const daemon = await world.start()
  const service = await addService(world, daemon)
  const program: FakeProgram = {}
  const name = containerName(await release(world, daemon, service, { program: () => program }), 0)
  program.refuse = 'no space left on device'
  world.controls.removeByHand(name)
  await until('it is refused thrice', () => rowOf(daemon, name)?.status === 'CrashLoop')
  t.match(rowOf(daemon, name), { reason: 'could not start: no space left on device' })
  delete program.refuse
  await routed(world, name)
})

test('a clock that was set back lets nothing flap', async (t) => {
  const world = await openDelivery(t)
  const daemon = await world.start()
  const service = await addService(world, daemon)
  const name = containerName(await release(world, daemon, service), 0)
  const container = world.controls.container(name)
  // The same as a clock that was an hour ahead when the container was started.
  if (container) container.started_at = new Date(world.system.now() + 3600_000).toISOString()
  await routed(world)
  await routed(world, name)
  const tables = world.ingress.tables.length
  const begin = world.system.monotonic()
  await until('a while is gone', () => world.system.monotonic() - begin > 20_000)
  t.equal(world.ingress.tables.length, tables)
})

test('on a full disk a replica that exits leaves the routes and is started again, and its row follows later', async (t) => {
  const world = await openDelivery(t)
  const daemon = await world.start()
  const service = await addService(world, daemon)
  const id = await release(world, daemon, service)
  const name = containerName(id, 0)
  const before = rowOf(daemon, name)
  const inTheDatabase = () => world.database.all('SELECT status, restarts FROM replicas')
  const tables = world.ingress.tables.length
  world.database.exec('PRAGMA query_only = 1')
  world.controls.exit(name, 3)
  await until('it is well again', () => {
    const row = rowOf(daemon, name)
    return row?.restarts === 1 && row.status === 'Healthy'
  })
  await routed(world, name)
  t.ok(
    world.ingress.tables.slice(tables).some((table) => !JSON.stringify(table).includes(name)),
    'no request went to it meanwhile',
  )
  t.equal((await daemon.services.getService(OPERATOR, service)).status, 'Running')
  t.same(daemon.stores.replicas.listByDeployment(id), daemon.stores.replicas.listAll())
  t.same(inTheDatabase(), [{ status: before?.status, restarts: 0 }])
  t.match(world.errors[0], { code: 'SQLITE_READONLY' })
  world.database.exec('PRAGMA query_only = 0')
  await until('it is written', () => JSON.stringify(inTheDatabase()).includes('"restarts":1'))
  t.match(rowOf(daemon, name), { status: 'Healthy', restarts: 1 })
})
