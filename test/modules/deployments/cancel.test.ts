import { test } from 'tap'
import { containerName } from '../../../src/modules/replicas/container-spec.ts'
import type { Step } from '../../../src/modules/deployments/deployment-schema.ts'
import { LABELS } from '../../../src/runtime/labels.ts'
import {
  addService,
  type Delivery,
  deploy,
  openDelivery,
  OPERATOR,
  over,
  release,
  type Source,
  until,
} from '../../support/delivery.ts'

const HOST = 'web.shop.localhost'
const unwell: Source = { answer: (_, response) => void response.writeHead(503).end() }
const untilAborted = (signal: AbortSignal): Promise<never> =>
  new Promise((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason as Error))
  })
const forever = new Promise<void>(() => {})

/** Holds a deployment in a step; answers the source to deploy. */
const HOLDS: [step: Step, hold: (world: Delivery) => Source][] = [
  [
    'fetch',
    () => ({
      unpacking: untilAborted,
    }),
  ],
  ['build', () => ({ until: forever })],
  [
    'publish',
    (world) => {
      world.controls.before('pushImage', (_image, _to, signal) => untilAborted(signal as AbortSignal))
      return {}
    },
  ],
  [
    'release_command',
    () => ({
      program: ({ labels }) => (labels[LABELS.kind] === 'release_command' ? {} : { exit: { code: 1 } }),
    }),
  ],
  [
    'start',
    (world) => {
      world.controls.before('startContainer', () => forever)
      return {}
    },
  ],
  ['check', () => unwell],
]

for (const [step, hold] of HOLDS) {
  test(`a deployment is cancelled in ${step}, and the old release serves on`, async (t) => {
    const world = await openDelivery(t)
    const daemon = await world.start()
    const service = await addService(world, daemon)
    const old = await release(world, daemon, service)
    if (step === 'release_command')
      await daemon.services.updateService(OPERATOR, service, { release_command: ['migrate'] })
    const id = await deploy(world, daemon, service, hold(world))
    await until(`it is in ${step}`, () => {
      const row = daemon.stores.deployments.find(id)
      return row?.step === step && row.status !== 'Pending'
    })
    const verb = step === 'start' ? 'startContainer' : step === 'publish' ? 'pushImage' : undefined
    if (verb) await until('it is under way', () => world.controls.calls(verb) === 2)
    t.match(daemon.deployments.cancelDeployment(OPERATOR, id), { id, status: /Building|Starting/ })
    t.match(await over(daemon, id), { status: 'Cancelled', reason: 'Cancelled by olive.' })
    const steps = daemon.stores.deployments.listSteps([id])
    t.equal(steps.find((each) => each.step === step)?.status, 'cancelled')
    t.match(world.logText(id), /Cancelled by olive\.$/)
    await until('nothing of it is left', () => world.containers().length === 1)
    t.same(world.running(), [containerName(old, 0)])
    t.same(world.ingress.historyOf(HOST), [[containerName(old, 0)]])
    t.throws(() => daemon.deployments.cancelDeployment(OPERATOR, id), { code: 'DEPLOYMENT_OVER' })
    t.same(world.errors, [])
  })
}

test('a deployment that waits is cancelled at once', async (t) => {
  const world = await openDelivery(t)
  const daemon = await world.start()
  const service = await addService(world, daemon)
  const first = await deploy(world, daemon, service, { until: forever })
  await until('it is built', () => daemon.stores.deployments.find(first)?.step === 'build')
  const waiting = await deploy(world, daemon, service)
  t.match(daemon.deployments.cancelDeployment(OPERATOR, waiting), { status: 'Cancelled', step: null })
  t.same(world.overs, [{ id: waiting, status: 'Cancelled' }])
  t.match(daemon.stores.deployments.find(first), { status: 'Building', cancel_requested: false })
})

test('a cancelled build stops in the engine', async (t) => {
  const world = await openDelivery(t)
  const daemon = await world.start()
  const service = await addService(world, daemon)
  const id = await deploy(world, daemon, service, { until: forever })
  await until('the engine builds', () => world.controls.calls('buildImage') === 1)
  let outcome = 'still builds'
  world.controls.after('buildImage', () => void (outcome = 'built'))
  daemon.deployments.cancelDeployment(OPERATOR, id)
  await over(daemon, id)
  t.equal(outcome, 'still builds')
  t.same([...world.fakeEngine.images.keys()], [])
})

test('what is live already cannot be cancelled, whatever it still does', async (t) => {
  const world = await openDelivery(t)
  const daemon = await world.start()
  const service = await addService(world, daemon)
  const old = await release(world, daemon, service)
  const gate = Promise.withResolvers<void>()
  world.ingress.held = gate.promise
  const id = await deploy(world, daemon, service)
  await until('it is live', () => daemon.stores.deployments.find(id)?.status === 'Healthy')
  t.equal(daemon.stores.deployments.find(id)?.step, 'route')
  t.throws(() => daemon.deployments.cancelDeployment(OPERATOR, id), {
    code: 'DEPLOYMENT_OVER',
    message: /roll back/,
  })
  world.ingress.inFlight.set(containerName(old, 0), { requests: 1, upgraded: 0 })
  gate.resolve()
  await until('it retires', () => daemon.stores.deployments.find(id)?.step === 'retire')
  t.throws(() => daemon.deployments.cancelDeployment(OPERATOR, id), { code: 'DEPLOYMENT_OVER' })
  world.ingress.inFlight.clear()
  t.match(await over(daemon, id), { status: 'Healthy', cancel_requested: false })
  t.throws(() => daemon.deployments.cancelDeployment(OPERATOR, id), { code: 'DEPLOYMENT_OVER' })
})

test('a cancellation that comes together with the last probe wins over the cutover', async (t) => {
  const world = await openDelivery(t)
  const daemon = await world.start()
  const service = await addService(world, daemon)
  let answers = 0
  const id: string = await deploy(world, daemon, service, {
    answer: (_, response) => {
      answers += 1
      response.end('ok', () => {
        if (answers === 2) daemon.deployments.cancelDeployment(OPERATOR, id)
      })
    },
  })
  t.match(await over(daemon, id), { status: 'Cancelled' })
  t.equal(daemon.stores.services.find(service)?.live_deployment_id, null)
  await until('nothing is left', () => world.containers().length === 0)
})

test('a service that is stopped during a deployment stays stopped', async (t) => {
  const world = await openDelivery(t)
  const daemon = await world.start()
  const service = await addService(world, daemon)
  await release(world, daemon, service)
  const id = await deploy(world, daemon, service, unwell)
  await until('it is checked', () => world.logText(id).includes('(waiting)'))
  await daemon.services.stopService(OPERATOR, service)
  t.match(await over(daemon, id), {
    status: 'Cancelled',
    reason: 'Cancelled: the service was stopped by olive.',
  })
  await until('nothing runs', () => world.containers().length === 0)
  t.match(daemon.stores.services.find(service), { desired_state: 'stopped' })
})

test('a stopped service that is deployed runs again, but not when the deployment fails', async (t) => {
  const world = await openDelivery(t)
  const daemon = await world.start()
  const service = await addService(world, daemon)
  await release(world, daemon, service)
  await daemon.services.stopService(OPERATOR, service)
  await until('nothing runs', () => world.containers().length === 0)
  const bad = await deploy(world, daemon, service, { program: { exit: { code: 1 } } })
  t.match(await over(daemon, bad), { status: 'Failed' })
  await until('nothing is left', () => world.containers().length === 0)
  t.match(daemon.stores.services.find(service), { desired_state: 'stopped' })
  const good = await release(world, daemon, service)
  t.match(daemon.stores.services.find(service), { desired_state: 'running', live_deployment_id: good })
  await until('it gets requests', () => world.ingress.upstreamsOf(HOST)?.[0] === containerName(good, 0))
})
