import { test } from 'tap'
import { containerName } from '../../../src/modules/replicas/container-spec.ts'
import { addService, deploy, openDelivery, over, until } from '../../support/delivery.ts'

test('twenty deployments of twenty services queue up, no more at once than may be, in the order in which they came', async (t) => {
  const world = await openDelivery(t, { deployConcurrency: 3 })
  const daemon = await world.start()
  const gate = Promise.withResolvers<void>()
  let building = 0
  let most = 0
  const order: string[] = []
  world.controls.before('buildImage', () => {
    building += 1
    most = Math.max(most, building)
  })
  world.controls.after('buildImage', () => void (building -= 1))
  const ids: string[] = []
  for (let nth = 0; nth < 20; nth += 1) {
    const service = await addService(world, daemon, `web-${nth}`)
    ids.push(await deploy(world, daemon, service, { until: gate.promise }))
  }
  const begun = (): string[] => ids.filter((id) => daemon.stores.deployments.find(id)?.status !== 'Pending')
  await until('three are built', () => building === 3)
  t.same(begun(), ids.slice(0, 3), 'the oldest first, the others wait')
  gate.resolve()
  for (const id of ids) {
    t.match(await over(daemon, id), { status: 'Healthy' })
    order.push(id)
  }
  t.equal(most, 3)
  t.same(world.running(), ids.map((id) => containerName(id, 0)).toSorted())
  t.same(world.errors, [])
})

test('of twenty deployments of one service the first and the newest are made, and the others say why not', async (t) => {
  const world = await openDelivery(t)
  const daemon = await world.start()
  const service = await addService(world, daemon)
  const gate = Promise.withResolvers<void>()
  const first = await deploy(world, daemon, service, { until: gate.promise })
  await until('it is built', () => daemon.stores.deployments.find(first)?.step === 'build')
  const others: string[] = []
  for (let nth = 1; nth < 20; nth += 1) others.push(await deploy(world, daemon, service))
  gate.resolve()
  const newest = others.pop() ?? ''
  t.match(await over(daemon, newest), { status: 'Healthy', replaces_id: first, number: 20 })
  for (const [index, id] of others.entries()) {
    t.match(daemon.stores.deployments.find(id), {
      status: 'Cancelled',
      reason: `Superseded by deployment ${index + 3}.`,
    })
  }
  t.same(world.running(), [containerName(newest, 0)])
})

test('a deployment in which one daemon after the other dies is given up', async (t) => {
  const world = await openDelivery(t)
  let daemon = await world.start()
  const service = await addService(world, daemon)
  const never = Promise.withResolvers<void>()
  const id = await deploy(world, daemon, service, { until: never.promise })
  const attempts = (): number | undefined =>
    daemon.stores.deployments.listSteps([id]).find(({ step }) => step === 'build')?.attempts
  for (let nth = 1; nth <= 10; nth += 1) {
    await until(`it is built for time ${nth}`, () => attempts() === nth)
    daemon.life.kill()
    daemon = await world.start()
  }
  t.match(await over(daemon, id), { status: 'Failed', reason: /^The build step was interrupted 10 times/ })
  never.resolve()
})
