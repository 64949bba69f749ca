import { type Test, test } from 'tap'
import type { Step } from '../../src/modules/deployments/deployment-schema.ts'
import { containerName } from '../../src/modules/replicas/container-spec.ts'
import { addService, deploy, type Delivery, OPERATOR, release, until } from '../support/delivery.ts'
import type { Life, When } from '../support/mortality.ts'
import { crash, DEATHS_AT_ONCE, HOST, type Scenario, sweep } from './crash-run.ts'
import { deployment, type DeploymentState, ownersOf } from './deployment-scenario.ts'

/** Where a daemon dies: in which step, before or after what, and the how manieth time of it in that step. */
const TABLE: [step: Step, effect: string, when: When, nth: number][] = [
  ['fetch', 'unpack', 'before', 1],
  ['fetch', 'unpack', 'after', 1],
  ['build', 'buildImage', 'before', 1],
  ['build', 'buildImage', 'after', 1],
  ['publish', 'pushImage', 'before', 1],
  ['publish', 'pushImage', 'after', 1],
  ['publish', 'commit', 'before', 2],
  ['start', 'ensureNetwork', 'after', 1],
  ['start', 'ensureContainer', 'before', 1],
  ['start', 'ensureContainer', 'after', 2],
  ['start', 'startContainer', 'before', 2],
  ['start', 'startContainer', 'after', 1],
  ['start', 'startContainer', 'after', 2],
  // Of the commits of a step the first begins it and the last ends it.
  ['check', 'commit', 'before', 2],
  ['check', 'commit', 'after', 3],
  ['route', 'commit', 'before', 2],
  ['route', 'commit', 'after', 2],
  ['route', 'publish', 'before', 1],
  ['route', 'publish', 'after', 1],
]
const RETIRE: typeof TABLE = [
  ['retire', 'stopContainer', 'before', 1],
  ['retire', 'stopContainer', 'after', 1],
  ['retire', 'stopContainer', 'after', 2],
  ['retire', 'removeContainer', 'before', 1],
  ['retire', 'removeContainer', 'after', 2],
  ['retire', 'commit', 'after', 2],
  ['retire', 'commit', 'before', 4],
]

for (const kind of ['first', 'replacing'] as const) {
  test(`a ${kind} deployment converges from where each step may leave it`, async (t) => {
    t.jobs = DEATHS_AT_ONCE
    const places = kind === 'first' ? TABLE : [...TABLE, ...RETIRE]
    await Promise.all(
      places.map((place) => {
        const [step, effect, when, nth] = place
        const title = `death in ${step} ${when} ${effect} ${nth}`
        return t.test(title, { buffered: true }, (t) => dieIn(t, kind, place))
      }),
    )
  })
}

async function dieIn(
  t: Test,
  kind: 'first' | 'replacing',
  [step, effect, when, nth]: (typeof TABLE)[number],
): Promise<void> {
  let left = nth
  let log = ''
  const { check, ...others } = deployment(kind)
  const scenario: Scenario<DeploymentState> = {
    ...others,
    check: (t, world, daemon, state) => {
      check(t, world, daemon, state)
      log = world.logText(daemon.stores.services.find(state.service)?.live_deployment_id ?? '')
    },
  }
  const arm = (life: Life, world: Delivery): void => {
    const stepOf = (): string | undefined =>
      world.database.get<{ step: string }>('SELECT step FROM deployments WHERE step IS NOT NULL')?.step
    life.dieWhen((instant) => {
      if (instant.effect === effect && instant.when === when && stepOf() === step) left -= 1
      return left === 0
    })
  }
  await crash(t, scenario, { arms: [arm] })
  t.ok(left <= 0, 'it died there')
  t.match(log, /Going on after an interruption\./)
}

for (const kind of ['first', 'replacing', 'rollback', 'superseding', 'with release command'] as const) {
  test(`a ${kind} deployment converges wherever the daemon dies`, (t) => sweep(t, deployment(kind)))
}

test('a deployment from Git converges wherever the daemon dies until it starts', (t) =>
  sweep(t, deployment('git'), { first: 36 }))

test('a deployment of an image of others converges wherever the daemon dies until it starts', (t) =>
  sweep(t, deployment('external_image'), { first: 24 }))

test('a deployment converges when the next daemons die soon after their start, too', (t) =>
  sweep(t, deployment('replacing'), { again: [1, 3, 6] }))

test('a deployment converges when the machine goes down with the daemon', (t) =>
  sweep(t, deployment('replacing', { machineDies: true }), { takesMachine: true }))

/** A deployment that does not get well. In the end it has failed and the old release serves as ever. */
const failing: Scenario<DeploymentState> = {
  prepare: async (world, daemon) => {
    const service = await addService(world, daemon)
    const old = await release(world, daemon, service)
    await daemon.services.updateService(OPERATOR, service, { health_check: { timeout_seconds: 1 } })
    return { service, old }
  },
  act: (world, daemon, { service }) =>
    deploy(world, daemon, service, { answer: (_, response) => void response.writeHead(503).end() }),
  isSettled: (world, { stores }, { old }) =>
    stores.deployments.listOpen().length === 0 &&
    world.containers().join() === containerName(old ?? '', 0) &&
    stores.replicas.listAll().length === 1,
  check: (t, world, { stores }, { service, old }) => {
    for (const row of stores.deployments.listByService(service, null, 10).filter(({ id }) => id !== old))
      t.match(row, { status: 'Failed', reason: /did not pass its health check/ })
    t.same(ownersOf(world), [old])
    t.match(stores.services.find(service), { live_deployment_id: old })
  },
}

test('a deployment that fails does so wherever the daemon dies, and costs the old release nothing', (t) =>
  sweep(t, failing))

/** A release that fails its probes while it is new. In the end the one before serves again. */
const baking: Scenario<DeploymentState> = {
  prepare: async (world, daemon) => {
    const service = await addService(world, daemon, 'web', { bake_seconds: 86_400 })
    return { service, old: await release(world, daemon, service) }
  },
  act: async (world, daemon, { service }) => {
    let isWell = true
    return deploy(world, daemon, service, {
      answer: (_, response) => {
        // Only once it is live.
        isWell &&= ![...world.logs.keys()].some((id) => world.logText(id).includes('Watching'))
        response.writeHead(isWell ? 200 : 503).end()
      },
    })
  },
  isSettled: failing.isSettled,
  check: (t, world, { stores }, { service, old }) => {
    for (const row of stores.deployments.listByService(service, null, 10).filter(({ id }) => id !== old))
      t.match(row, { status: 'Failed', reason: /^Rolled back to deployment 1: Replica 0 failed/ })
    t.match(stores.services.find(service), { live_deployment_id: old })
    t.match(stores.deployments.find(old ?? ''), { status: 'Healthy' })
    t.same(world.ingress.upstreamsOf(HOST), [containerName(old ?? '', 0)])
    t.notOk(ownersOf(world).includes(''), 'there was always one')
  },
}

test('a release that fails while it is new is given up wherever the daemon dies', (t) => sweep(t, baking))

/** A deployment that is cancelled while it is checked. */
const cancelled: Scenario<DeploymentState> = {
  ...failing,
  act: async (world, daemon, { service }) => {
    const id = await deploy(world, daemon, service, {
      answer: (_, response) => void response.writeHead(503).end(),
    })
    await until('it is checked', () => daemon.life.isDead || world.logText(id).includes('(waiting)'))
    daemon.deployments.cancelDeployment(OPERATOR, id)
  },
  check: (t, world, { stores }, { service, old }) => {
    for (const row of stores.deployments.listByService(service, null, 10).filter(({ id }) => id !== old)) {
      // A cancellation that the daemon died over was never answered; the check fails by itself then.
      const wasCancelled = row.status === 'Cancelled' && row.reason === 'Cancelled by olive.'
      t.ok(wasCancelled || row.status === 'Failed', `${row.status}: ${row.reason}`)
    }
    t.same(world.ingress.upstreamsOf(HOST), [containerName(old ?? '', 0)])
    t.same(ownersOf(world), [old])
  },
}

test('a cancellation is carried out wherever the daemon dies', (t) => sweep(t, cancelled))
