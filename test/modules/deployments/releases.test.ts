import { test } from 'tap'
import { containerName } from '../../../src/modules/replicas/container-spec.ts'
import { TransferFailed } from '../../../src/runtime/runtime.ts'
import {
  addService,
  ask,
  deploy,
  type Delivery,
  openDelivery,
  OPERATOR,
  over,
  release,
  until,
} from '../../support/delivery.ts'

const specOf = (world: Delivery, id: string) => world.controls.container(containerName(id, 0))?.spec

test('a redeployment takes the image of the live release and the settings of today', async (t) => {
  const world = await openDelivery(t)
  const daemon = await world.start()
  const service = await addService(world, daemon, 'web', { env: { MODE: 'old' } })
  const first = await release(world, daemon, service)
  await daemon.services.updateService(OPERATOR, service, { env: { MODE: 'new' }, stop_grace_seconds: 3 })
  const builds = world.controls.calls('buildImage')
  const again = await ask(daemon, service, { type: 'redeploy' })
  t.match(await over(daemon, again), {
    status: 'Healthy',
    image_id: daemon.stores.deployments.find(first)?.image_id,
    source: { type: 'redeploy', deployment_id: first, number: 1 },
    replaces_id: first,
  })
  t.equal(world.controls.calls('buildImage'), builds, 'nothing was built')
  t.match(specOf(world, again), { env: { MODE: 'new', PORT: String(world.port) }, stop_grace_seconds: 3 })
  t.same(
    daemon.stores.deployments.listSteps([again]).map(({ step, status }) => `${step} ${status}`),
    [
      'fetch done',
      'build skipped',
      'publish skipped',
      'release_command skipped',
      'start done',
      'check done',
      'route done',
      'retire done',
    ],
  )
})

test('a rollback restores image, settings and variables of the release that it goes back to', async (t) => {
  const world = await openDelivery(t)
  const daemon = await world.start()
  const service = await addService(world, daemon, 'web', { env: { MODE: 'one' }, command: ['serve', '1'] })
  const first = await release(world, daemon, service)
  await daemon.services.updateService(OPERATOR, service, {
    env: { MODE: 'two' },
    command: ['serve', '2'],
    resource_limits: { pids: 99 },
  })
  const second = await release(world, daemon, service)
  t.match(specOf(world, second), { env: { MODE: 'two' }, command: ['serve', '2'], pids: 99 })
  const { id: back } = await daemon.deployments.rollbackService(OPERATOR, service, undefined)
  t.match(await over(daemon, back), {
    status: 'Healthy',
    source: { type: 'rollback', deployment_id: first, number: 1 },
    image: daemon.stores.deployments.find(first)?.image,
  })
  t.match(specOf(world, back), { env: { MODE: 'one' }, command: ['serve', '1'], pids: 512 })
  t.match(
    await daemon.services.getService(OPERATOR, service),
    { command: ['serve', '2'] },
    'the service keeps its own',
  )
  await t.rejects(daemon.deployments.rollbackService(OPERATOR, service, undefined), {
    code: 'NOTHING_TO_DEPLOY',
  })
  const named = await daemon.deployments.rollbackService(OPERATOR, service, second)
  t.match(await over(daemon, named.id), { status: 'Healthy' })
})

/** Every image of the engine that no container uses, as `docker image prune -a` takes it. */
function prune(world: Delivery): void {
  const used = new Set([...world.fakeEngine.containers.values()].map(({ spec }) => spec.image))
  for (const [id, { tags }] of world.fakeEngine.images)
    if (!used.has(id) && !tags.some((tag) => used.has(tag))) world.fakeEngine.images.delete(id)
}

test('what was built is published, and a release comes back after the engine has lost its image', async (t) => {
  const world = await openDelivery(t)
  const daemon = await world.start()
  const service = await addService(world, daemon)
  await t.rejects(ask(daemon, service, { type: 'redeploy' }), { code: 'NOTHING_TO_DEPLOY' })
  const first = await release(world, daemon, service)
  const { digest, number } = daemon.stores.deployments.find(first) ?? {}
  t.match(daemon.images.find('shop/web', `release-${number}-${first.slice(-8)}`), { digest })
  t.match(daemon.deployments.getDeployment(OPERATOR, first), { artifact: { digest } })
  await release(world, daemon, service)
  prune(world)
  t.equal(world.fakeEngine.images.size, 1)
  const builds = world.controls.calls('buildImage')
  const back = await ask(daemon, service, { type: 'rollback', deployment_id: first })
  t.match(await over(daemon, back), { status: 'Healthy', digest, image: `berth/shop/web:${first}` })
  t.match(world.logText(back), `it is back from shop/web@${digest}`)
  t.equal(world.controls.calls('buildImage'), builds, 'nothing was built')
  t.match(daemon.images.pinned(back), { digest })
})

test('an image that vanishes before it is started comes back, too', async (t) => {
  const world = await openDelivery(t)
  const daemon = await world.start()
  const service = await addService(world, daemon)
  await release(world, daemon, service)
  world.controls.before('ensureNetwork', () => world.fakeEngine.images.clear())
  const again = await ask(daemon, service, { type: 'redeploy' })
  t.match(await over(daemon, again), { status: 'Healthy' })
  t.match(world.logText(again), /it is back from the registry of this node/)
})

test('a container that is removed by hand comes back also after its image has gone', async (t) => {
  const world = await openDelivery(t)
  const daemon = await world.start()
  const service = await addService(world, daemon)
  const id = await release(world, daemon, service)
  world.fakeEngine.images.clear()
  world.controls.removeByHand(containerName(id, 0))
  await until('it runs again', () => world.running().includes(containerName(id, 0)))
  await until('it is healthy', () => daemon.stores.replicas.listAll()[0]?.status === 'Healthy')
  t.equal(daemon.stores.replicas.listAll()[0]?.restarts, 0, 'which is no fault of its own')
  t.same(daemon.errors, [])
})

test('a release of before there was a registry needs its image in the engine, and is published when it is deployed again', async (t) => {
  const world = await openDelivery(t)
  const daemon = await world.start()
  const service = await addService(world, daemon)
  const [first, second] = [await release(world, daemon, service), await release(world, daemon, service)]
  world.database.run('DELETE FROM registry_pins')
  const back = await ask(daemon, service, { type: 'rollback', deployment_id: first })
  t.match(await over(daemon, back), { status: 'Healthy' })
  t.match(daemon.images.pinned(back), { repository: 'shop/web' })
  prune(world)
  await t.rejects(ask(daemon, service, { type: 'rollback', deployment_id: second }), {
    code: 'NOTHING_TO_DEPLOY',
    message: /deployment 2 is no longer kept/,
  })
})

test('a push that the registry refuses fails the deployment with its words, and the old release serves on', async (t) => {
  const world = await openDelivery(t)
  const daemon = await world.start()
  const service = await addService(world, daemon)
  const first = await release(world, daemon, service)
  world.controls.fail(
    'pushImage',
    new TransferFailed('denied: The registry quota of the project is used up.'),
  )
  const second = await deploy(world, daemon, service)
  t.match(await over(daemon, second), {
    status: 'Failed',
    reason: /could not be pushed to the registry of this node: denied: .* quota/,
  })
  t.same(world.running(), [containerName(first, 0)])
})

test('images beyond those that are kept go, and so do those that belong to no release', async (t) => {
  const world = await openDelivery(t)
  const daemon = await world.start()
  const service = await addService(world, daemon)
  const ids: string[] = []
  for (let count = 0; count < 4; count += 1) ids.push(await release(world, daemon, service))
  world.controls.addImage('someone-elses:1')
  await daemon.expireImages(1)
  const kept = ids.map((id) => daemon.stores.deployments.find(id)?.image_id !== null)
  t.same(kept, [false, false, true, true])
  const tags = [...world.fakeEngine.images.values()].flatMap((image) => image.tags).toSorted()
  t.same(tags, [`berth/shop/web:${ids[2]}`, `berth/shop/web:${ids[3]}`, 'someone-elses:1'])
  for (const [index, id] of ids.entries())
    t.equal(daemon.images.pinned(id) !== undefined, index >= 2, 'the registry keeps as many')
  t.equal(world.database.get<{ count: number }>('SELECT count(*) AS count FROM registry_manifests')?.count, 2)
  t.match(await over(daemon, await ask(daemon, service, { type: 'rollback' })), { status: 'Healthy' })
  await daemon.services.deleteService(OPERATOR, service, { keepImages: false })
})

test('a push that no release came of is taken back, and nothing that only looks like one', async (t) => {
  const world = await openDelivery(t)
  const daemon = await world.start()
  const service = await addService(world, daemon)
  const tags = (): string[] =>
    world.database
      .all<{ name: string }>('SELECT name FROM registry_tags ORDER BY name')
      .map(({ name }) => name)
  const first = await release(world, daemon, service)
  const own = `release-1-${first.slice(-8)}`
  // What a death after the push leaves, when the deployment does not go on.
  const end = world.controls.after('pushImage', () => {
    end()
    throw new TransferFailed('cut off')
  })
  const second = await deploy(world, daemon, service)
  t.match(await over(daemon, second), { status: 'Failed' })
  const stray = `release-2-${second.slice(-8)}`
  t.same(tags(), [own, stray])
  const alike = [
    'release-1-00000000',
    `release-3-${first.slice(-8)}`,
    `release-2-${second.slice(-8)}.1`,
    'v1',
  ]
  for (const name of alike)
    world.database.run(
      `INSERT INTO registry_tags SELECT repository_id, $name, manifest_id, 0, own FROM registry_tags WHERE name = $own`,
      { name, own },
    )
  const reached = Promise.withResolvers<void>()
  const held = Promise.withResolvers<void>()
  world.controls.after('pushImage', () => (reached.resolve(), held.promise))
  const third = await deploy(world, daemon, service)
  await reached.promise
  await daemon.expireImages(1)
  t.same(tags(), [own, ...alike, `release-3-${third.slice(-8)}`].toSorted(), 'one under way keeps its own')
  held.resolve()
  t.match(await over(daemon, third), { status: 'Healthy' })
  t.equal(world.database.get<{ count: number }>('SELECT count(*) AS count FROM registry_manifests')?.count, 2)
})

test('an image that is given up while a rollback to it is asked for is not deployed', async (t) => {
  const world = await openDelivery(t)
  const daemon = await world.start()
  const service = await addService(world, daemon)
  const first = await release(world, daemon, service)
  for (let count = 0; count < 3; count += 1) await release(world, daemon, service)
  world.database.run('DELETE FROM registry_pins')
  world.controls.after('findImage', () => void daemon.stores.deploymentImages.forgetExpiredImages(1))
  await t.rejects(ask(daemon, service, { type: 'rollback', deployment_id: first }), {
    code: 'NOTHING_TO_DEPLOY',
  })
})

test('while deployments are frozen only what worked before may come back', async (t) => {
  const world = await openDelivery(t)
  const daemon = await world.start()
  const service = await addService(world, daemon)
  const first = await release(world, daemon, service)
  await release(world, daemon, service)
  await daemon.services.updateServiceEnv(OPERATOR, service, { set: { A: 'x' } })
  world.policy.frozen = true
  const upload = { type: 'upload', upload_id: world.upload() } as const
  await t.rejects(ask(daemon, service, upload), { code: 'DEPLOYS_FROZEN' })
  await t.rejects(ask(daemon, service, { type: 'redeploy' }), {
    code: 'DEPLOYS_FROZEN',
    details: [{ message: /changed since deployment 2: env\. A rollback to deployment 2 starts that anew/ }],
  })
  const back = await over(daemon, await ask(daemon, service, { type: 'rollback' }))
  t.match(back, { status: 'Healthy', source: { type: 'rollback', deployment_id: first } })
  await daemon.services.updateService(OPERATOR, service, { stop_grace_seconds: 3, read_only: true })
  await t.rejects(daemon.services.restartService(OPERATOR, service), {
    code: 'DEPLOYS_FROZEN',
    details: [{ message: /: stop_grace_seconds, read_only, env\./ }],
  })
  await daemon.services.updateService(OPERATOR, service, { stop_grace_seconds: 10, read_only: false })
  await daemon.services.updateServiceEnv(OPERATOR, service, { unset: ['A'] })
  const { deploymentId: anew } = await daemon.services.restartService(OPERATOR, service)
  t.match(await over(daemon, anew), { status: 'Healthy', source: { type: 'redeploy' } })
  const { id } = await daemon.deployments.createDeployment(OPERATOR, {
    service_id: service,
    source: { type: 'upload', upload_id: world.upload() },
    override_freeze: true,
  })
  t.match(await over(daemon, id), { status: 'Healthy' })
})
