import { test } from 'tap'
import {
  addService,
  ask,
  deploy,
  openDelivery,
  OPERATOR,
  over,
  release,
  until,
} from '../../support/delivery.ts'

test('of those that wait only the newest is deployed, and what is under way goes on', async (t) => {
  const world = await openDelivery(t)
  const daemon = await world.start()
  const service = await addService(world, daemon)
  const gate = Promise.withResolvers<void>()
  const first = await deploy(world, daemon, service, { until: gate.promise })
  await until('it is built', () => daemon.stores.deployments.find(first)?.step === 'build')
  const second = await deploy(world, daemon, service)
  t.match(daemon.stores.deployments.find(second), { status: 'Pending', step: 'fetch' })
  const third = await deploy(world, daemon, service)
  t.match(daemon.stores.deployments.find(second), {
    status: 'Cancelled',
    step: null,
    reason: 'Superseded by deployment 3.',
  })
  t.same(world.overs, [{ id: second, status: 'Cancelled' }], 'who follows its log is told')
  t.match(daemon.stores.deployments.find(first), { status: 'Building' })
  gate.resolve()
  t.match(await over(daemon, first), { status: 'Healthy' })
  t.match(await over(daemon, third), { status: 'Healthy', replaces_id: first })
  t.same(
    daemon.stores.deployments.listSteps([second]).filter(({ status }) => status !== 'skipped'),
    [],
  )
})

test('deployments of one service run one after the other', async (t) => {
  const world = await openDelivery(t)
  const daemon = await world.start()
  const service = await addService(world, daemon)
  const gate = Promise.withResolvers<void>()
  const first = await deploy(world, daemon, service, { until: gate.promise })
  await until('the first is built', () => daemon.stores.deployments.find(first)?.step === 'build')
  const second = await deploy(world, daemon, service)
  t.match(daemon.stores.deployments.find(second), { status: 'Pending' })
  gate.resolve()
  await over(daemon, second)
  const steps = daemon.stores.deployments.listSteps([first, second])
  const ended =
    steps.find(({ deployment_id, step }) => deployment_id === first && step === 'retire')?.finished_at ?? ''
  const begun =
    steps.find(({ deployment_id, step }) => deployment_id === second && step === 'fetch')?.started_at ?? ''
  t.ok(ended <= begun, `${ended} <= ${begun}`)
})

test('services are deployed beside each other, as many at once as the node allows', async (t) => {
  const world = await openDelivery(t, { deployConcurrency: 2 })
  const daemon = await world.start()
  const gate = Promise.withResolvers<void>()
  const ids: string[] = []
  for (const name of ['a', 'b', 'c']) {
    const service = await addService(world, daemon, name)
    ids.push(await deploy(world, daemon, service, { until: gate.promise }))
  }
  const statuses = () => ids.map((id) => daemon.stores.deployments.find(id)?.status)
  await until('two are built', () => statuses().filter((status) => status === 'Building').length === 2)
  t.same(statuses(), ['Building', 'Building', 'Pending'])
  gate.resolve()
  for (const id of ids) t.match(await over(daemon, id), { status: 'Healthy' })
})

test('a rollback does not wait for the builds of others', async (t) => {
  const world = await openDelivery(t, { deployConcurrency: 1 })
  const daemon = await world.start()
  const urgent = await addService(world, daemon, 'urgent')
  await release(world, daemon, urgent)
  await release(world, daemon, urgent)
  const slow = await addService(world, daemon, 'slow')
  const building = await deploy(world, daemon, slow, { until: new Promise(() => {}) })
  await until('it is built', () => daemon.stores.deployments.find(building)?.step === 'build')
  t.match(await over(daemon, await ask(daemon, urgent, { type: 'rollback' })), { status: 'Healthy' })
  t.match(daemon.stores.deployments.find(building), { status: 'Building' })
})

test('an upload is deployed once, and what is refused leaves no row', async (t) => {
  const world = await openDelivery(t)
  const daemon = await world.start()
  const service = await addService(world, daemon)
  const upload_id = world.upload()
  await over(daemon, await ask(daemon, service, { type: 'upload', upload_id }))
  await t.rejects(ask(daemon, service, { type: 'upload', upload_id }), { code: 'UPLOAD_USED' })
  await t.rejects(ask(daemon, service, { type: 'git' }), { code: 'VALIDATION_ERROR' })
  await t.rejects(ask(daemon, service, { type: 'external_image' }), { code: 'VALIDATION_ERROR' })
  t.equal(daemon.deployments.listDeployments(OPERATOR, service, { limit: 10 }).items.length, 1)
})

test('answers say how far a deployment is, also in lists', async (t) => {
  const world = await openDelivery(t)
  const daemon = await world.start()
  const service = await addService(world, daemon)
  const first = await release(world, daemon, service)
  const second = await release(world, daemon, service)
  const { items } = daemon.deployments.listDeployments(OPERATOR, service, { limit: 10 })
  t.same(
    items.map(({ id, live, status }) => [id, live, status]),
    [
      [second, true, 'Healthy'],
      [first, false, 'Inactive'],
    ],
  )
  t.same(items[0], daemon.deployments.getDeployment(OPERATOR, second))
  t.same(
    items[0]?.steps.map(({ step }) => step),
    ['fetch', 'build', 'publish', 'release_command', 'start', 'check', 'route', 'retire'],
  )
  t.equal(
    items[0]?.steps.every(({ duration_ms }) => (duration_ms ?? -1) >= 0),
    true,
  )
})

test('an error that cannot be recorded is told and tried again later, not at once', async (t) => {
  const world = await openDelivery(t)
  const daemon = world.boot()
  const service = await addService(world, daemon)
  let failures = 3
  const { advance } = daemon.stores.deployments
  daemon.stores.deployments.advance = (...args) => {
    failures -= 1
    if (failures >= 0) throw new Error('disk full')
    return advance(...args)
  }
  await daemon.start()
  const begin = world.system.monotonic()
  const id = await deploy(world, daemon, service)
  t.match(await over(daemon, id), { status: 'Healthy' })
  t.equal(world.errors.length, 3)
  t.ok(world.system.monotonic() - begin >= 10_000, 'seconds were between the attempts')
})

test('while the disk takes nothing a deployment says once that it waits, and nothing that is not so', async (t) => {
  const world = await openDelivery(t)
  const daemon = await world.start()
  const service = await addService(world, daemon)
  const gate = Promise.withResolvers<void>()
  const id = await deploy(world, daemon, service, { until: gate.promise, fail: 'no such file' })
  await until('it is built', () => daemon.stores.deployments.find(id)?.step === 'build')
  world.database.exec('PRAGMA query_only = 1')
  gate.resolve()
  await until('it has tried three times', () => world.errors.length >= 3)
  const lines = () => world.log(id).map(({ line }) => line)
  t.same(
    lines().filter((line) => /Failed|Going on|Waiting/.test(line)),
    ['Waiting: the disk of the node is full.'],
  )
  world.database.exec('PRAGMA query_only = 0')
  t.match(await over(daemon, id), { status: 'Failed' })
  t.equal(lines().filter((line) => line.startsWith('Failed: ')).length, 1)
  t.notOk(lines().includes('Going on after an interruption.'))
})
