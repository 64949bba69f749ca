import { test } from 'tap'
import { containerName } from '../../../src/modules/replicas/container-spec.ts'
import {
  addService,
  ask,
  type Delivery,
  openDelivery,
  OPERATOR,
  over,
  release,
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

test('a release whose image is gone cannot be deployed again', async (t) => {
  const world = await openDelivery(t)
  const daemon = await world.start()
  const service = await addService(world, daemon)
  await t.rejects(ask(daemon, service, { type: 'redeploy' }), { code: 'NOTHING_TO_DEPLOY' })
  const first = await release(world, daemon, service)
  const second = await release(world, daemon, service)
  world.fakeEngine.images.delete(daemon.stores.deployments.find(first)?.image_id ?? '')
  await t.rejects(ask(daemon, service, { type: 'rollback', deployment_id: first }), {
    code: 'NOTHING_TO_DEPLOY',
    message: /deployment 1 is no longer kept/,
  })
  t.match(daemon.stores.deployments.find(second), { status: 'Healthy' })
})

test('an image that vanishes before it is started fails the deployment with advice', async (t) => {
  const world = await openDelivery(t)
  const daemon = await world.start()
  const service = await addService(world, daemon)
  const first = await release(world, daemon, service)
  const { image_id } = daemon.stores.deployments.find(first) ?? {}
  world.controls.before('ensureNetwork', () => void world.fakeEngine.images.delete(image_id ?? ''))
  const again = await ask(daemon, service, { type: 'redeploy' })
  t.match(await over(daemon, again), {
    status: 'Failed',
    reason: 'The image is no longer in the engine. Deploy the source again.',
  })
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
  t.match(await over(daemon, await ask(daemon, service, { type: 'rollback' })), { status: 'Healthy' })
  await daemon.services.deleteService(OPERATOR, service, { keepImages: false })
})

test('an image that is given up while a rollback to it is asked for is not deployed', async (t) => {
  const world = await openDelivery(t)
  const daemon = await world.start()
  const service = await addService(world, daemon)
  const first = await release(world, daemon, service)
  for (let count = 0; count < 3; count += 1) await release(world, daemon, service)
  world.controls.after('findImage', () => void daemon.stores.deployments.forgetExpiredImages(1))
  await t.rejects(ask(daemon, service, { type: 'rollback', deployment_id: first }), {
    code: 'NOTHING_TO_DEPLOY',
  })
})
