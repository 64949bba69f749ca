import { type Test, test } from 'tap'
import type { Route } from '../../../src/ingress/contract/route-table.ts'
import type { DeploymentRequest, DeploymentRow } from '../../../src/modules/deployments/deployment-schema.ts'
import { containerName } from '../../../src/modules/replicas/container-spec.ts'
import {
  addService,
  type Delivery,
  type DeliveryDaemon,
  openDelivery,
  OPERATOR,
  over,
  release,
  until,
} from '../../support/delivery.ts'

const HOST = 'web.shop.localhost'

interface Canary {
  world: Delivery
  daemon: DeliveryDaemon
  service: string
  live: string
  canary: string
}

async function askCanary(
  world: Delivery,
  daemon: DeliveryDaemon,
  service_id: string,
  percent: number,
  source: DeploymentRequest['source'] = { type: 'upload', upload_id: world.upload() },
): Promise<DeploymentRow> {
  const request = { service_id, source, canary_percent: percent }
  return over(daemon, (await daemon.deployments.createDeployment(OPERATOR, request)).id)
}

/** A service of four replicas with a canary that gets 30 % of the requests. */
async function openCanary(t: Test, settings: { bake_seconds?: number } = {}): Promise<Canary> {
  const world = await openDelivery(t)
  const daemon = await world.start()
  const service = await addService(world, daemon, 'web', { replicas: 4, ...settings })
  const live = await release(world, daemon, service)
  const canary = await askCanary(world, daemon, service, 30)
  t.match(canary, { status: 'Healthy', canary_percent: 30, replaces_id: null }, world.logText(canary.id))
  return { world, daemon, service, live, canary: canary.id }
}

const names = (id: string, count: number): string[] =>
  Array.from({ length: count }, (_, index) => containerName(id, index))

const routeOf = (world: Delivery): Route | undefined =>
  world.ingress.tables.at(-1)?.find(({ hostname }) => hostname === HOST)

const settled = (world: Delivery, expected: readonly string[]): Promise<unknown> =>
  until('it has settled', () => {
    const wanted = expected.toSorted().join()
    return (
      world.containers().join() === wanted && world.ingress.upstreamsOf(HOST)?.toSorted().join() === wanted
    )
  })

test('a canary runs its share of the replicas beside the live release, for its share of the requests', async (t) => {
  const { world, daemon, service, live, canary } = await openCanary(t)
  await settled(world, [...names(live, 4), ...names(canary, 2)])
  t.same(routeOf(world)?.canary, { deployment_id: canary, percent: 30 })
  t.equal(daemon.stores.services.find(service)?.live_deployment_id, live)
  t.match(world.logText(canary), /It is a canary: it gets 30 % of the requests/)
  t.equal(daemon.stores.deployments.find(live)?.status, 'Healthy')
  const aliases = (id: string) => world.fakeEngine.containers.get(containerName(id, 0))?.spec.aliases
  t.same([aliases(live), aliases(canary)], [['web'], []], 'other services find only the live release by name')
  const view = await daemon.services.getService(OPERATOR, service)
  t.same(view.canary, { deployment_id: canary, percent: 30, replicas: 2, healthy_replicas: 2 })
  t.equal(view.status, 'Running')

  t.match(await daemon.deployments.setCanary(OPERATOR, service, 75), { percent: 75, replicas: 3 })
  t.equal(routeOf(world)?.canary?.percent, 75, 'the table has the new share when the call returns')
  await settled(world, [...names(live, 4), ...names(canary, 3)])
  t.same(world.errors, [])
})

test('a canary is supervised like the live release, also by the next daemon', async (t) => {
  const { world, daemon, live, canary } = await openCanary(t)
  const all = [...names(live, 4), ...names(canary, 2)]
  await settled(world, all)
  await world.runtime.removeContainer(containerName(canary, 1))
  daemon.reconciler.worker.nudge()
  await settled(world, all)
  daemon.life.kill()
  await world.runtime.removeContainer(containerName(canary, 0))
  await world.start()
  await settled(world, all)
  t.same(routeOf(world)?.canary, { deployment_id: canary, percent: 30 })
})

test('promoting deploys the release of the canary without a build, and ends it', async (t) => {
  const { world, daemon, service, live, canary } = await openCanary(t)
  world.ingress.inFlight.set(containerName(canary, 0), { requests: 1, upgraded: 0 })
  const { id } = await daemon.deployments.promoteCanary(OPERATOR, service)
  const promoted = await over(daemon, id)
  t.match(promoted, { status: 'Healthy', replaces_id: live, canary_percent: null })
  t.equal(promoted.image_id, daemon.stores.deployments.find(canary)?.image_id)
  t.match(daemon.stores.services.find(service), {
    live_deployment_id: id,
    canary_deployment_id: null,
    canary_percent: null,
  })
  t.match(daemon.stores.deployments.find(canary), {
    status: 'Inactive',
    reason: `Ended when deployment ${promoted.number} became live.`,
  })
  t.same(world.ingress.upstreamsOf(HOST)?.toSorted(), names(id, 4).toSorted())
  t.ok(world.running().includes(containerName(canary, 0)), 'its replica finishes the request that it has')
  world.ingress.inFlight.clear()
  await settled(world, names(id, 4))
  const tables = world.ingress.historyOf(HOST).map((upstreams) => upstreams?.length ?? 0)
  t.ok(
    tables.slice(tables.findIndex((count) => count > 0)).every((count) => count > 0),
    'there was always one',
  )
  const back = await daemon.deployments.rollbackService(OPERATOR, service, undefined)
  t.match(back.source, { deployment_id: live }, 'what it goes back to is the release before, not the canary')
  t.equal((await over(daemon, back.id)).status, 'Healthy')
})

test('ending a canary gives all requests back at once', async (t) => {
  const { world, daemon, service, live, canary } = await openCanary(t)
  const stale = { ...OPERATOR, if_match: ['"other"'] }
  await t.rejects(daemon.deployments.setCanary(stale, service, 5), { code: 'PRECONDITION_FAILED' })
  await t.rejects(daemon.deployments.abortCanary(stale, service), { code: 'PRECONDITION_FAILED' })
  await daemon.deployments.abortCanary(OPERATOR, service)
  t.same(world.ingress.upstreamsOf(HOST)?.toSorted(), names(live, 4).toSorted())
  t.equal(routeOf(world)?.canary, undefined)
  await settled(world, names(live, 4))
  t.match(daemon.stores.deployments.find(canary), { status: 'Cancelled', reason: 'Ended by olive.' })
  await t.rejects(daemon.deployments.abortCanary(OPERATOR, service), { code: 'NOT_FOUND' })
  await t.rejects(daemon.deployments.setCanary(OPERATOR, service, 5), { code: 'NOT_FOUND' })
  t.throws(() => daemon.deployments.promoteCanary(OPERATOR, service), { code: 'NOT_FOUND' })
})

test('a canary that is ended is not promoted after that, however far its promotion is', async (t) => {
  const { world, daemon, service, live, canary } = await openCanary(t)
  const { promise: held, resolve: letGo } = Promise.withResolvers<void>()
  const { promise: reached, resolve: tell } = Promise.withResolvers<void>()
  const end = world.controls.before('ensureContainer', () => (end(), tell(), held))
  const { id } = await daemon.deployments.promoteCanary(OPERATOR, service)
  await reached
  await daemon.deployments.abortCanary(OPERATOR, service)
  letGo()
  t.match(await over(daemon, id), { status: 'Cancelled', reason: 'Its canary was ended by olive.' })
  await settled(world, names(live, 4))
  t.equal(daemon.stores.services.find(service)?.live_deployment_id, live)
  await t.rejects(daemon.deployments.rollbackService(OPERATOR, service, canary), {
    code: 'NOTHING_TO_DEPLOY',
  })
  t.same(world.errors, [])
})

test('a canary that fails its check changes nothing', async (t) => {
  const { world, daemon, service, live, canary } = await openCanary(t)
  const bad = world.upload({ program: { exit: { code: 1, after_ms: 100 } } })
  const failed = await askCanary(world, daemon, service, 50, { type: 'upload', upload_id: bad })
  t.equal(failed.status, 'Failed')
  await settled(world, [...names(live, 4), ...names(canary, 2)])
  t.match(daemon.stores.services.find(service), { canary_deployment_id: canary, canary_percent: 30 })
})

test('a newer canary takes the place of the one before, and whatever becomes live ends it', async (t) => {
  const { world, daemon, service, live, canary } = await openCanary(t)
  const earlier = { type: 'rollback', deployment_id: live } as const
  const second = await askCanary(world, daemon, service, 1, earlier)
  t.match(daemon.stores.deployments.find(canary), {
    status: 'Inactive',
    reason: `Replaced by the canary ${second.number}.`,
  })
  await settled(world, [...names(live, 4), ...names(second.id, 1)])
  const next = await release(world, daemon, service)
  await settled(world, names(next, 4))
  t.equal(daemon.stores.services.find(service)?.canary_deployment_id, null)
})

test('a stopped service takes its canary with it, and brings it back; a deleted one leaves nothing', async (t) => {
  const { world, daemon, service, live, canary } = await openCanary(t)
  await daemon.services.stopService(OPERATOR, service)
  await until('all is gone', () => world.containers().length === 0)
  await daemon.services.startService(OPERATOR, service)
  await settled(world, [...names(live, 4), ...names(canary, 2)])
  await daemon.services.deleteService(OPERATOR, service, { keepImages: false })
  await until('all is gone', () => world.containers().length === 0)
  t.same(world.errors, [])
})

test('a service that cannot have two releases at once is told so', async (t) => {
  const world = await openDelivery(t)
  const daemon = await world.start()
  const refusal = async (id: string): Promise<unknown> =>
    daemon.deployments
      .createDeployment(OPERATOR, {
        service_id: id,
        source: { type: 'upload', upload_id: world.upload() },
        canary_percent: 10,
      })
      .catch((error: { code: string }) => error.code)
  const service = await addService(world, daemon)
  t.equal(await refusal(service), 'NOTHING_TO_DEPLOY', 'it has no release yet')
  await release(world, daemon, service)
  await daemon.services.stopService(OPERATOR, service)
  t.equal(await refusal(service), 'CONFLICT', 'it is stopped')
  await daemon.services.startService(OPERATOR, service)
  await daemon.services.updateService(OPERATOR, service, {
    volumes: [{ name: 'data', mount_path: '/data' }],
  })
  t.equal(await refusal(service), 'POLICY_REFUSED', 'it has a volume')
  await daemon.services.updateService(OPERATOR, service, {
    volumes: [],
    internal_port: null,
    health_check: { path: null },
  })
  t.equal(await refusal(service), 'POLICY_REFUSED', 'it listens on nothing')
  world.policy.frozen = true
  t.equal(await refusal(service), 'DEPLOYS_FROZEN')
})

test('a freeze refuses every way to give a canary more, and lets what was live come back', async (t) => {
  const { world, daemon, service, live, canary } = await openCanary(t)
  const refused = { code: 'DEPLOYS_FROZEN' }
  const goTo = (id: string) => daemon.deployments.rollbackService(OPERATOR, service, id)
  world.policy.frozen = true
  await t.rejects(daemon.deployments.promoteCanary(OPERATOR, service), refused)
  await t.rejects(goTo(canary), refused, 'a rollback to it is a promotion by another name')
  await t.rejects(askCanary(world, daemon, service, 90, { type: 'rollback', deployment_id: canary }), refused)
  await t.rejects(daemon.deployments.setCanary(OPERATOR, service, 99), refused)
  t.match(await daemon.deployments.setCanary(OPERATOR, service, 1), { percent: 1 }, 'less is let in')
  t.equal((await over(daemon, (await goTo(live)).id)).status, 'Healthy', 'what was live comes back')
  t.equal(daemon.stores.deployments.find(canary)?.status, 'Inactive')
  await t.rejects(goTo(canary), refused, 'an ended canary was never live')
  world.policy.frozen = false
  const { id } = await goTo(canary)
  t.match(
    await over(daemon, id),
    { status: 'Healthy', canary_percent: null },
    'without a freeze it is deployed',
  )
  world.policy.frozen = true
  await over(daemon, (await goTo(live)).id)
  t.equal((await over(daemon, (await goTo(id)).id)).status, 'Healthy', 'and from then on it may come back')
})
