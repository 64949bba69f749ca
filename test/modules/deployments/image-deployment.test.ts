import { test } from 'tap'
import { createAutoDeploy } from '../../../src/modules/deployments/auto-deploy.ts'
import {
  addService,
  ask,
  type Delivery,
  type DeliveryDaemon,
  openDelivery,
  OPERATOR,
  over,
} from '../../support/delivery.ts'

const IMAGE = 'registry.example.com/shop/web:1'
const source = { type: 'external_image', image: IMAGE } as const

const stepsOf = (daemon: DeliveryDaemon, id: string): string[] =>
  daemon.stores.deployments.listSteps([id]).map(({ step, status }) => `${step} ${status}`)

test('an image that somebody else made is resolved, kept, pinned and run', async (t) => {
  const world = await openDelivery(t)
  const daemon = await world.start()
  const digest = world.moveTag(IMAGE)
  const service = await addService(world, daemon, 'web', { source })
  const first = await ask(daemon, service, { type: 'external_image' })
  t.match(await over(daemon, first), {
    status: 'Healthy',
    digest,
    image: `berth/shop/web:${first}`,
    source: { type: 'external_image', image: IMAGE, registry_id: null },
  })
  t.same(stepsOf(daemon, first).slice(0, 3), ['fetch done', 'build skipped', 'publish skipped'])
  t.match(world.logText(first), `${IMAGE} is ${digest}.`)
  t.match(daemon.images.pinned(first), { repository: 'shop/web', digest })
  t.match(daemon.deployments.getDeployment(OPERATOR, first), { artifact: { digest } })
})

test('a redeployment takes the same image and says whether the tag has moved; a deployment takes the new one', async (t) => {
  const world = await openDelivery(t)
  const daemon = await world.start()
  const old = world.moveTag(IMAGE)
  const service = await addService(world, daemon, 'web', { source })
  await over(daemon, await ask(daemon, service, { type: 'external_image' }))
  const still = await ask(daemon, service, { type: 'redeploy' })
  t.match(await over(daemon, still), { status: 'Healthy', digest: old })
  t.match(world.logText(still), `${IMAGE} is still ${old}.`)
  const moved = world.moveTag(IMAGE)
  const again = await ask(daemon, service, { type: 'redeploy' })
  t.match(await over(daemon, again), { status: 'Healthy', digest: old })
  t.match(world.logText(again), `${IMAGE} has moved: it is ${moved} now.`)
  const tagOf = (id: string) => daemon.deployments.getDeployment(OPERATOR, id).tag
  t.same(tagOf(still), { image: IMAGE, digest: old, moved: false })
  t.same(tagOf(again), { image: IMAGE, digest: moved, moved: true })
  const newer = await ask(daemon, service, { type: 'external_image' })
  t.match(await over(daemon, newer), { status: 'Healthy', digest: moved })
  t.equal(tagOf(newer), null)
  const back = await ask(daemon, service, { type: 'rollback' })
  t.match(await over(daemon, back), { status: 'Healthy', digest: old })
})

test('what cannot be fetched fails the deployment with the reason, and what it held is let go', async (t) => {
  const world = await openDelivery(t)
  const daemon = await world.start()
  const service = await addService(world, daemon, 'web', { source })
  const absent = await ask(daemon, service, { type: 'external_image' })
  t.match(await over(daemon, absent), { status: 'Failed', reason: /cannot be fetched: the registry has no/ })
  world.moveTag(IMAGE, { refuse: 'no such command' })
  const bad = await ask(daemon, service, { type: 'external_image' })
  t.match(await over(daemon, bad), { status: 'Failed', reason: /no such command/ })
  world.moveTag(IMAGE)
  await over(daemon, await ask(daemon, service, { type: 'external_image' }))
  t.ok(daemon.images.pinned(bad))
  await daemon.expireImages(1)
  t.notOk(daemon.images.pinned(bad))
  const tags = [...world.fakeEngine.images.values()].flatMap((image) => image.tags)
  t.notOk(tags.includes(`berth/shop/web:${bad}`), 'nor does the engine keep it')
})

test('an upload cannot be deployed as an image without saying which', async (t) => {
  const world = await openDelivery(t)
  const daemon = await world.start()
  const service = await addService(world, daemon)
  await t.rejects(ask(daemon, service, { type: 'external_image' }), { code: 'VALIDATION_ERROR' })
  world.moveTag(IMAGE)
  const one = await ask(daemon, service, { type: 'external_image', image: IMAGE })
  t.match(await over(daemon, one), { status: 'Healthy' })
})

/** The worker over a world in which the image is the node's own. */
function autoDeployOf(world: Delivery, daemon: DeliveryDaemon): () => Promise<void> {
  const run = createAutoDeploy({
    listServices: daemon.stores.services.listAll,
    store: daemon.stores.deploymentImages,
    images: {
      ...world.imageSource,
      locate: (_, { image }) => ({
        kind: 'own',
        repository: 'shop/web',
        tag: '1',
        digest: null,
        text: image,
        pull_right: null,
      }),
    },
    deploy: (service_id, trigger) =>
      daemon.deployments.createDeployment(
        OPERATOR,
        { service_id, source: { type: 'external_image' } },
        trigger,
      ),
    onError: (error) => void world.errors.push(error),
  })
  return () => run(new AbortController().signal)
}

test('what is pushed under the tag is deployed once, also after a restart, and not undone by a rollback', async (t) => {
  const world = await openDelivery(t)
  let daemon = await world.start()
  const service = await addService(world, daemon, 'web', { source: { ...source, auto_deploy: true } })
  let look = autoDeployOf(world, daemon)
  await look()
  const newest = () => daemon.stores.deployments.listByService(service, null, 10)
  t.same(newest(), [], 'nothing was pushed yet')
  const digest = world.moveTag(IMAGE)
  await look()
  await look()
  t.equal(newest().length, 1, 'once')
  t.match(await over(daemon, newest()[0]?.id ?? ''), {
    status: 'Healthy',
    digest,
    trigger: { kind: 'push', id: digest },
  })
  const pushed = world.moveTag(IMAGE)
  await daemon.stop()
  daemon = await world.start()
  look = autoDeployOf(world, daemon)
  await look()
  t.match(await over(daemon, newest()[0]?.id ?? ''), { status: 'Healthy', digest: pushed })
  await over(daemon, await ask(daemon, service, { type: 'rollback' }))
  await look()
  t.equal(newest().length, 3, 'the rollback stays')
  world.moveTag(IMAGE, { refuse: 'broken' })
  await look()
  t.match(await over(daemon, newest()[0]?.id ?? ''), { status: 'Failed' })
  await look()
  t.equal(newest().length, 4, 'what failed is not tried again and again')
  daemon.stores.services.setDesiredState(service, 'stopped', world.system.nowIso())
  world.moveTag(IMAGE)
  await look()
  t.equal(newest().length, 4, 'a push does not start what was stopped')
  t.same(world.errors, [])
})
