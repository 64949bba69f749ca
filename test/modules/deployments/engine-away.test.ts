import { test } from 'tap'
import { AppError } from '../../../src/lib/errors.ts'
import { containerName } from '../../../src/modules/replicas/container-spec.ts'
import type { Step } from '../../../src/modules/deployments/deployment-schema.ts'
import type { RuntimeVerb } from '../../../src/runtime/fake-faults.ts'
import { addService, deploy, openDelivery, OPERATOR, over, release, until } from '../../support/delivery.ts'

const AWAY = /The container engine cannot be reached; waiting for it\./

/** Steps that need the engine, and what of it each asks. */
const STEPS: [step: Step, verb: RuntimeVerb][] = [
  ['build', 'buildImage'],
  ['start', 'ensureNetwork'],
  ['start', 'ensureContainer'],
  ['start', 'startContainer'],
  ['retire', 'stopContainer'],
  ['retire', 'removeContainer'],
]

for (const [step, verb] of STEPS) {
  test(`a deployment waits in ${step} for an engine that is away at ${verb}, then goes on`, async (t) => {
    const world = await openDelivery(t)
    const daemon = await world.start()
    const service = await addService(world, daemon)
    const old = await release(world, daemon, service)
    world.controls.before(verb, () => {
      if (!isOver) world.controls.setAway(true)
    })
    let isOver = false
    const id = await deploy(world, daemon, service)
    await until('it waits', () => AWAY.test(world.logText(id)))
    t.match(daemon.stores.deployments.find(id), {
      step,
      status: step === 'retire' ? 'Healthy' : /Building|Starting/,
    })
    if (step !== 'retire') t.same(world.ingress.upstreamsOf('web.shop.localhost'), [containerName(old, 0)])
    isOver = true
    world.controls.setAway(false)
    t.match(await over(daemon, id), { status: 'Healthy' })
    t.equal(world.logText(id).match(new RegExp(AWAY, 'g'))?.length, 1, 'it is said once')
    await until('only the new one runs', () => world.containers().join() === containerName(id, 0))
  })
}

test('a deployment waits in check for an engine that goes away there', async (t) => {
  const world = await openDelivery(t)
  const daemon = await world.start()
  const service = await addService(world, daemon)
  let isWell = false
  const id = await deploy(world, daemon, service, {
    answer: (_, response) => void response.writeHead(isWell ? 200 : 503).end(),
  })
  await until('it is checked', () => world.logText(id).includes('(waiting)'))
  world.controls.setAway(true)
  await until('it waits', () => AWAY.test(world.logText(id)))
  isWell = true
  world.controls.setAway(false)
  t.match(await over(daemon, id), { status: 'Healthy' })
})

test('a deployment can be cancelled while it waits for the engine', async (t) => {
  const world = await openDelivery(t)
  const daemon = await world.start()
  const service = await addService(world, daemon)
  world.controls.setAway(true)
  const id = await deploy(world, daemon, service)
  await until('it waits', () => AWAY.test(world.logText(id)))
  daemon.deployments.cancelDeployment(OPERATOR, id)
  t.match(await over(daemon, id), { status: 'Cancelled' })
})

test('an engine that stays away ends the deployment after ten minutes, however long it had worked before', async (t) => {
  const world = await openDelivery(t, { speed: 400 })
  const daemon = await world.start()
  const service = await addService(world, daemon)
  const gate = Promise.withResolvers<void>()
  const id = await deploy(world, daemon, service, { until: gate.promise })
  await until('it is built', () => world.controls.calls('buildImage') === 1)
  world.system.skip(25 * 60_000)
  world.controls.setAway(true)
  gate.reject(new AppError('RUNTIME_UNAVAILABLE'))
  await until('it waits', () => AWAY.test(world.logText(id)))
  t.match(daemon.stores.deployments.find(id), { step: 'build' })
  const begin = world.system.monotonic()
  const row = await over(daemon, id)
  t.match(row, { status: 'Failed', reason: 'The container engine cannot be reached.' })
  t.ok(world.system.monotonic() - begin >= 8 * 60_000, 'it had its patience')
})

test('a live release stays live when the engine stays away while the old one is retired', async (t) => {
  const world = await openDelivery(t, { speed: 400 })
  const daemon = await world.start()
  const service = await addService(world, daemon)
  const old = await release(world, daemon, service)
  world.controls.before('stopContainer', () => {
    if (!isOver) world.controls.setAway(true)
  })
  let isOver = false
  const id = await deploy(world, daemon, service)
  t.match(await over(daemon, id), { status: 'Healthy', reason: null })
  t.match(world.logText(id), /The release is live; the rest is done in the background\./)
  t.same(world.running(), [containerName(old, 0), containerName(id, 0)].toSorted())
  isOver = true
  world.controls.setAway(false)
  await until('the reconciler has removed it', () => world.containers().join() === containerName(id, 0))
})

test('a step that takes too long fails with its name', async (t) => {
  const world = await openDelivery(t, { speed: 400 })
  const daemon = await world.start()
  const service = await addService(world, daemon)
  world.controls.before('startContainer', () => new Promise(() => {}))
  const id = await deploy(world, daemon, service)
  t.match(await over(daemon, id), { status: 'Failed', reason: 'The start step took longer than 180 s.' })
  const slow = await deploy(world, daemon, service, {
    unpacking: (signal) =>
      new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error))),
  })
  t.match(await over(daemon, slow), { status: 'Failed', reason: 'The fetch step took longer than 900 s.' })
})

test('a build may wait for its turn as long as it takes', async (t) => {
  const world = await openDelivery(t, { speed: 400 })
  const daemon = await world.start()
  const service = await addService(world, daemon)
  const gate = Promise.withResolvers<void>()
  const id = await deploy(world, daemon, service, { until: gate.promise })
  const begin = world.system.monotonic()
  await until('ten minutes are gone', () => world.system.monotonic() - begin > 10 * 60_000)
  t.match(daemon.stores.deployments.find(id), { status: 'Building' })
  gate.resolve()
  t.match(await over(daemon, id), { status: 'Healthy' })
})
