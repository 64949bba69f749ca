import { test } from 'tap'
import { AppError } from '../../../src/lib/errors.ts'
import { createTriggerStore } from '../../../src/modules/deployments/trigger-store.ts'
import type { System } from '../../../src/lib/system.ts'
import { actingFor } from '../../../src/modules/identity/context.ts'
import { actOnDeliveries } from '../../../src/modules/webhooks/delivery-worker.ts'
import { DEFAULT_FILTER, type DeliveryRow } from '../../../src/modules/webhooks/webhook-schema.ts'
import { createWebhookStore } from '../../../src/modules/webhooks/webhook-store.ts'
import { addService, type Delivery, type DeliveryDaemon, openDelivery, over } from '../../support/delivery.ts'

type Deploy = Parameters<typeof actOnDeliveries>[0]['deploy']

function bind(world: Delivery, daemon: DeliveryDaemon, serviceId: string) {
  const store = createWebhookStore(world.database)
  const now = world.system.nowIso()
  const webhook_id = world.system.newId()
  store.insert({
    id: webhook_id,
    service_id: serviceId,
    name: 'hook',
    enabled: true,
    filter: DEFAULT_FILTER,
    secret_sealed: '{}',
    created_by: { kind: 'session', user_id: null, token_id: null, name: 'olive' },
    revision: 1,
    created_at: now,
    updated_at: now,
  })
  const deploy: Deploy = async (service, { ref, commit }, delivery) => {
    const context = actingFor(service.project_id, 'deployments.create', `webhook ${webhook_id}`)
    const request = { service_id: service.id, source: { type: 'git', git_ref: ref, commit } } as const
    return (await daemon.deployments.createDeployment(context, request, { kind: 'webhook', id: delivery.id }))
      .id
  }
  return {
    store,
    deliver: (key: string, commit: string, ref = 'refs/heads/main'): string => {
      const row: DeliveryRow = {
        id: world.system.newId(),
        webhook_id,
        delivery_key: key,
        provider: 'github',
        event: 'push',
        push: {
          ref,
          commit,
          repository: 'acme/shop',
          default_branch: 'main',
          author: null,
          message: null,
          paths: null,
        },
        outcome: 'pending',
        reason: null,
        deployment_id: null,
        replays_id: null,
        tries: 0,
        received_at: world.system.nowIso(),
        finished_at: null,
      }
      store.insertDelivery(row)
      return row.id
    },
    find: (id: string) => store.findDelivery(webhook_id, id),
    act: (overrides: { deploy?: Deploy; system?: System } = {}) =>
      actOnDeliveries(
        {
          system: world.system,
          store,
          findService: daemon.stores.services.find,
          findDeployment: createTriggerStore(world.database).findTriggered,
          deploy,
          ...overrides,
        },
        new AbortController().signal,
      ),
    deploy,
  }
}

/** A clock that stands still until it is moved. */
function stoppedClock(world: Delivery): { system: System; skip: (seconds: number) => void } {
  let at = world.system.now()
  return {
    system: { ...world.system, now: () => at, nowIso: () => new Date(at).toISOString() },
    skip: (seconds) => void (at += seconds * 1000),
  }
}

const SOURCE = { type: 'git', repo_url: 'https://git.example.com/acme/shop.git' } as const

test('a push is deployed: the very commit, and the deployment says why', async (t) => {
  const world = await openDelivery(t)
  const daemon = await world.start()
  const service = await addService(world, daemon, 'web', { source: SOURCE })
  const sha = world.push()
  world.push()
  const hook = bind(world, daemon, service)
  const pushed = hook.deliver('one', sha)
  const other = hook.deliver('two', sha, 'refs/heads/dev')
  await hook.act()
  const delivery = hook.find(pushed)
  t.match(delivery, { outcome: 'deployed', reason: null, deployment_id: /./ })
  t.match(hook.find(other), { outcome: 'skipped', reason: 'the branch dev is not deployed' })
  const deployment = await over(daemon, delivery?.deployment_id ?? '')
  t.match(deployment, {
    status: 'Healthy',
    commit: { sha, ref: 'refs/heads/main' },
    trigger: { kind: 'webhook', id: pushed },
    created_by: { kind: 'system', name: /^webhook / },
  })
})

test('a crash between the deployment and its record makes no second deployment', async (t) => {
  const world = await openDelivery(t)
  const daemon = await world.start()
  const service = await addService(world, daemon, 'web', { source: SOURCE })
  const hook = bind(world, daemon, service)
  const id = hook.deliver('one', world.push())
  await t.rejects(
    hook.act({
      deploy: async (...args) => {
        await hook.deploy(...args)
        throw new Error('died here')
      },
    }),
  )
  t.equal(hook.find(id)?.outcome, 'pending')
  world.system.skip(20_000)
  await hook.act()
  t.equal(hook.find(id)?.outcome, 'deployed')
  t.equal(daemon.stores.deployments.listByService(service, null, 10).length, 1)
})

test('one that was put off by a clock that was ahead is not put off until that time comes again', async (t) => {
  const world = await openDelivery(t)
  const daemon = await world.start()
  const service = await addService(world, daemon, 'web', { source: SOURCE })
  const hook = bind(world, daemon, service)
  const id = hook.deliver('one', world.push())
  const inHours = (hours: number): string => new Date(world.system.now() + hours * 3_600_000).toISOString()
  hook.store.postpone(id, inHours(0.05))
  t.same(hook.store.listDue(inHours(0), 10), [])
  hook.store.postpone(id, inHours(24))
  await hook.act()
  t.equal(hook.find(id)?.outcome, 'deployed')
})

test('a refusal ends a delivery; other errors leave it, and hold up no other', async (t) => {
  const world = await openDelivery(t)
  const daemon = await world.start()
  const service = await addService(world, daemon, 'web', { source: SOURCE })
  const hook = bind(world, daemon, service)
  const [first, second] = [hook.deliver('one', world.push()), hook.deliver('two', world.push())]
  let calls = 0
  await t.rejects(
    hook.act({
      deploy: async () => {
        calls += 1
        throw calls === 1
          ? new Error('a bug')
          : new AppError('POLICY_REFUSED', { message: 'Deployments are frozen.' })
      },
    }),
    { message: 'a bug' },
  )
  t.equal(hook.find(first)?.outcome, 'pending')
  t.match(hook.find(second), { outcome: 'failed', reason: 'Deployments are frozen.' })
  await daemon.services.deleteService({ ...actingFor(world.project.id, 'services.write', 'x') }, service, {
    keepImages: false,
  })
  world.system.skip(20_000)
  await hook.act()
  t.notOk(hook.find(first)?.outcome === 'pending')
})

test('the pushes of a webhook that cannot be deployed now keep those of no other waiting', async (t) => {
  const world = await openDelivery(t)
  const daemon = world.boot()
  const [one, two] = [
    await addService(world, daemon, 'one', { source: SOURCE }),
    await addService(world, daemon, 'two', { source: SOURCE }),
  ]
  const [stuck, other] = [bind(world, daemon, one), bind(world, daemon, two)]
  const waiting = Array.from({ length: 120 }, (_, nth) => stuck.deliver(String(nth), 'a'.repeat(40)))
  const pushed = other.deliver('one', 'b'.repeat(40))
  const acted: string[] = []
  const deploy: Deploy = async (service, _push, delivery) => {
    acted.push(delivery.id)
    if (service.id === one) throw new Error('not now')
    return 'a deployment'
  }
  const { system, skip } = stoppedClock(world)
  await t.rejects(stuck.act({ deploy, system }), { message: 'not now' })
  t.match(other.find(pushed), { outcome: 'deployed' })
  t.equal(acted.indexOf(pushed), 1, 'in its turn')
  t.equal(acted.length, 121, 'each once')
  await stuck.act({ deploy, system })
  t.equal(acted.length, 121, 'and not again at once')
  for (const seconds of [10, 20]) {
    skip(seconds)
    await t.rejects(stuck.act({ deploy, system }))
  }
  t.equal(acted.length, 121 + 2 * 120)
  skip(3600)
  await stuck.act({ deploy, system })
  t.match(stuck.find(waiting[0] ?? ''), { outcome: 'failed', reason: /internal error/ })
})

test('a push that can be deployed only after a later one of its ref is left out', async (t) => {
  const world = await openDelivery(t)
  const daemon = world.boot()
  const hook = bind(world, daemon, await addService(world, daemon, 'web', { source: SOURCE }))
  const [first, tag, second] = [
    hook.deliver('one', 'a'.repeat(40)),
    hook.deliver('two', 'b'.repeat(40), 'refs/heads/other'),
    hook.deliver('three', 'c'.repeat(40)),
  ]
  const deployed: string[] = []
  const deploy: Deploy = async (_service, { commit }, delivery) => {
    if (delivery.id === first && delivery.tries === 0) throw new Error('not now')
    deployed.push(commit)
    return 'a deployment'
  }
  const { system, skip } = stoppedClock(world)
  await t.rejects(hook.act({ deploy, system }))
  skip(20)
  await hook.act({ deploy, system })
  t.match(hook.find(first), { outcome: 'skipped', reason: /later push to the same ref/ })
  t.same(deployed, ['c'.repeat(40)])
  t.equal(hook.find(tag)?.outcome, 'skipped')
  t.equal(hook.find(second)?.outcome, 'deployed')
})

test('a delivery on which no verdict can be given ends, too', async (t) => {
  const world = await openDelivery(t)
  const daemon = world.boot()
  const service = await addService(world, daemon, 'web', { source: SOURCE })
  const hook = bind(world, daemon, service)
  const id = hook.deliver('one', 'a'.repeat(40))
  world.database.run(
    "UPDATE services SET source = json_set(source, '$.repo_url', 'nonsense') WHERE id = $service",
    {
      service,
    },
  )
  const { system, skip } = stoppedClock(world)
  await t.rejects(hook.act({ system }))
  t.equal(hook.find(id)?.outcome, 'pending')
  skip(2 * 3600)
  await hook.act({ system })
  t.equal(hook.find(id)?.outcome, 'failed')
})

test('old deliveries go, pending ones stay', async (t) => {
  const world = await openDelivery(t)
  const daemon = world.boot()
  const service = await addService(world, daemon, 'web', { source: SOURCE })
  const hook = bind(world, daemon, service)
  const ids = ['1', '2', '3', '4'].map((key) => hook.deliver(key, 'a'.repeat(40)))
  for (const id of ids.slice(1))
    hook.store.finishDelivery(id, {
      outcome: 'skipped',
      reason: 'x',
      deployment_id: null,
      now: world.system.nowIso(),
    })
  t.equal(hook.store.removeOldDeliveries(2, '2000-01-01T00:00:00.000Z'), 1)
  t.same(
    ids.map((id) => hook.find(id)?.outcome),
    ['pending', undefined, 'skipped', 'skipped'],
  )
  t.equal(hook.store.removeOldDeliveries(2, '2100-01-01T00:00:00.000Z'), 2)
  t.equal(hook.find(ids[0] ?? '')?.outcome, 'pending')
})
