import { test } from 'tap'
import { containerName } from '../../../src/modules/replicas/container-spec.ts'
import {
  addService,
  deploy,
  openDelivery,
  OPERATOR,
  over,
  release,
  type Source,
  until,
} from '../../support/delivery.ts'

const HOST = 'web.shop.localhost'
const BAKED = { bake_seconds: 60, replicas: 2 }

/** An application whose health can be changed. */
function changeable(): { source: Source; status: number } {
  const app = {
    status: 200,
    source: { answer: (_, response) => void response.writeHead(app.status).end() } as Source,
  }
  return app
}

test('a release that fails its probes while it is new is given up for the one before, without a gap', async (t) => {
  const world = await openDelivery(t)
  const daemon = await world.start()
  const service = await addService(world, daemon, 'web', BAKED)
  const old = await release(world, daemon, service)
  const names = [containerName(old, 0), containerName(old, 1)]
  const ids = names.map((name) => world.controls.container(name)?.id)
  const app = changeable()
  const id = await deploy(world, daemon, service, app.source)
  await until('it is watched', () => world.logText(id).includes('Watching it for 60 s'))
  t.match(daemon.deployments.getDeployment(OPERATOR, id), { status: 'Healthy', step: 'retire', live: true })
  t.same(world.ingress.upstreamsOf(HOST), [containerName(id, 0), containerName(id, 1)])
  t.same(
    names.map((name) => world.controls.container(name)?.phase),
    ['running', 'running'],
    'the old replicas stand by',
  )
  app.status = 503
  const row = await over(daemon, id)
  t.match(row, {
    status: 'Failed',
    reason: 'Rolled back to deployment 1: Replica 0 failed during the bake time: GET /: 503.',
  })
  t.match(world.logText(id), /Replica 0: GET \/: 503 \(bad, 3 of 3\)\nFailed: Rolled back to deployment 1/)
  t.match(daemon.stores.deployments.find(old), { status: 'Healthy' })
  t.equal(daemon.stores.services.find(service)?.live_deployment_id, old)
  await until('the failed ones are gone', () => world.containers().join() === names.join())
  t.same(
    names.map((name) => world.controls.container(name)?.id),
    ids,
    'the old containers serve on',
  )
  const history = world.ingress.historyOf(HOST)
  t.same(history.at(-1), names)
  t.ok(
    history.slice(1).every((upstreams) => (upstreams ?? []).length > 0),
    'there was always one',
  )
  t.same(world.overs.at(-1), { id, status: 'Failed' })
  t.match(
    daemon.stores.deployments.listSteps([id]).find(({ step }) => step === 'retire'),
    { status: 'failed' },
  )
  t.same(world.errors, [])
})

test('a release that stands its bake time lets the old replicas go only then', async (t) => {
  const world = await openDelivery(t, { speed: 60 })
  const daemon = await world.start()
  const service = await addService(world, daemon, 'web', BAKED)
  await release(world, daemon, service)
  const begin = world.system.monotonic()
  const id = await release(world, daemon, service)
  t.ok(world.system.monotonic() - begin > 55_000)
  t.match(world.logText(id), /It has stood its bake time\.\nStopped 2 old replicas\./)
  t.equal(world.containers().length, 2)
  const fresh = await addService(world, daemon, 'fresh', BAKED)
  const first = await release(world, daemon, fresh)
  t.notMatch(world.logText(first), /Watching/, 'there is nothing to go back to')
})

test('a bake time is no longer when the clock is set back in it', async (t) => {
  const world = await openDelivery(t, { speed: 60 })
  const daemon = await world.start()
  const service = await addService(world, daemon, 'web', BAKED)
  await release(world, daemon, service)
  const id = await deploy(world, daemon, service)
  await until('it is watched', () => world.logText(id).includes('Watching'))
  world.system.setBack(86_400_000)
  t.match(await over(daemon, id), { status: 'Healthy' })
  t.match(world.logText(id), /It has stood its bake time/)
})

test('the next deployment, and stopping the service, end a bake time early', async (t) => {
  const world = await openDelivery(t)
  const daemon = await world.start()
  const service = await addService(world, daemon, 'web', { bake_seconds: 86_400 })
  await release(world, daemon, service)
  const second = await deploy(world, daemon, service)
  await until('it is watched', () => world.logText(second).includes('Watching'))
  const third = await deploy(world, daemon, service)
  t.match(await over(daemon, second), { status: 'Healthy' })
  t.match(world.logText(second), /the bake time ends early/)
  await until('it is watched', () => world.logText(third).includes('Watching'))
  await daemon.services.stopService(OPERATOR, service)
  t.match(await over(daemon, third), { reason: null })
  await until('nothing runs', () => world.containers().length === 0)
  t.equal(daemon.stores.services.find(service)?.live_deployment_id, third)
})

test('a release that crashes while it is new is given up, also when nothing of the old one is left', async (t) => {
  const world = await openDelivery(t)
  const daemon = await world.start()
  const service = await addService(world, daemon, 'web', { bake_seconds: 86_400 })
  const old = await release(world, daemon, service)
  const id = await deploy(world, daemon, service, { program: { exit: { code: 9, after_ms: 5_000 } } })
  await until('it is watched', () => world.logText(id).includes('Watching'))
  world.controls.removeByHand(containerName(old, 0))
  t.match(await over(daemon, id), {
    status: 'Failed',
    reason: /^Rolled back to deployment 1: Replica 0 failed during the bake time: exited with code 9/,
  })
  await until('the old one is back', () => world.ingress.upstreamsOf(HOST)?.[0] === containerName(old, 0))
})

test('services that only watch their releases keep no others from being deployed', async (t) => {
  const world = await openDelivery(t, { deployConcurrency: 1 })
  const daemon = await world.start()
  const baking = await addService(world, daemon, 'web', { bake_seconds: 86_400 })
  await release(world, daemon, baking)
  const watched = await deploy(world, daemon, baking)
  await until('it is watched', () => world.logText(watched).includes('Watching'))
  const other = await addService(world, daemon, 'other')
  await release(world, daemon, other)
  t.equal(daemon.stores.deployments.find(watched)?.step, 'retire')
})
