import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { test } from 'tap'
import { packArchive } from '../../src/lib/archive-pack.ts'
import { containerName } from '../../src/modules/replicas/container-spec.ts'
import {
  addService,
  deploy,
  type Delivery,
  type DeliveryDaemon,
  OPERATOR,
  release,
  type Source,
} from '../support/delivery.ts'
import { HOST, type Scenario, sweep } from './crash-run.ts'

interface State {
  service: string
  old: string
  /** Whenever two containers could write into one volume. */
  twoWriters: string[]
  volumes: string[]
}

const writers = (world: Delivery): string[] =>
  [...world.fakeEngine.containers.values()]
    .filter(({ phase, spec }) => phase === 'running' && spec.mounts?.some((mount) => !mount.read_only))
    .map(({ spec }) => spec.name)

async function prepare(world: Delivery, daemon: DeliveryDaemon): Promise<State> {
  const service = await addService(world, daemon, 'web', {
    volumes: [{ name: 'data', mount_path: '/data' }],
  })
  const old = await release(world, daemon, service)
  const twoWriters: string[] = []
  world.controls.before('startContainer', (name) => {
    const others = writers(world).filter((other) => other !== name)
    if (others.length > 0) twoWriters.push(`${String(name)} starts while ${others.join()} runs`)
  })
  return { service, old, twoWriters, volumes: [...world.fakeEngine.volumes.keys()] }
}

const serves = (world: Delivery, id: string | null): boolean =>
  id !== null &&
  world.ingress.upstreamsOf(HOST)?.join() === containerName(id, 0) &&
  world.containers().join() === containerName(id, 0)

function check(t: Parameters<Scenario<State>['check']>[0], world: Delivery, state: State): void {
  t.same(state.twoWriters, [], 'never two writers')
  t.equal(world.fakeEngine.volumes.size, 1)
  t.equal(writers(world).length, 1)
}

/** A deployment that stops the release before it first. Whether it gets well or not: in the end one of the two serves. */
function replacement(source: Source): Scenario<State> {
  return {
    prepare,
    act: (world, daemon, { service }) => deploy(world, daemon, service, source),
    isSettled: (world, { stores }, { service }) =>
      stores.deployments.listOpen().length === 0 &&
      serves(world, stores.services.find(service)?.live_deployment_id ?? null),
    check: (t, world, _, state) => {
      check(t, world, state)
      t.same([...world.fakeEngine.volumes.keys()], state.volumes)
    },
  }
}

test('a stop-first replacement ends with one release serving, wherever the daemon dies', (t) =>
  sweep(t, replacement({})))

test('a stop-first replacement ends so when the next daemons die, too', (t) =>
  sweep(t, replacement({}), { again: [2, 5] }))

test('a stop-first replacement that fails ends with the old release, wherever the daemon dies', (t) =>
  sweep(t, replacement({ program: { exit: { code: 3 } } })))

/** A release that turns bad once it is live, and takes all of its grace to stop: the one before comes back, and only when it is gone. */
const swapBack: Scenario<State> = {
  prepare: async (world, daemon) => {
    const state = await prepare(world, daemon)
    await daemon.services.updateService(OPERATOR, state.service, {
      bake_seconds: 3600,
      stop_grace_seconds: 5,
    })
    return state
  },
  act: (world, daemon, { service }) => {
    const isWatched = (): boolean =>
      [...world.logs.values()].flat().some(({ line }) => line.startsWith('Watching it'))
    return deploy(world, daemon, service, {
      answer: (_, response) => void response.writeHead(isWatched() ? 503 : 200).end(),
      program: { sigterm: 'ignore' },
    })
  },
  isSettled: (world, { stores }, { old }) => stores.deployments.listOpen().length === 0 && serves(world, old),
  check: (t, world, { stores }, state) => {
    check(t, world, state)
    t.equal(stores.services.find(state.service)?.live_deployment_id, state.old)
    t.same([...world.fakeEngine.volumes.keys()], state.volumes)
  },
}

test('a stop-first release that fails its bake time is gone before the one before comes back, wherever the daemon dies', (t) =>
  sweep(t, swapBack, { every: 9 }))

/** A restore: in the end the service runs with what was there before, or with what was restored. */
const restore: Scenario<State> = {
  prepare,
  act: async (_, daemon, { service }) => {
    const bytes = await buffer(
      packArchive([{ kind: 'file', name: 'file', mode: 0o644, content: Buffer.from('restored') }]),
    )
    const stream = Readable.from([bytes], { objectMode: false })
    await daemon.volumes.restoreVolume(
      OPERATOR,
      service,
      'data',
      { format: 'tar', stream },
      new AbortController().signal,
    )
  },
  isSettled: (world, { stores }, { old }) =>
    serves(world, old) &&
    stores.volumes.listRemovals().length === 0 &&
    world.controls.container(containerName(old, 0))?.spec.mounts?.[0]?.volume ===
      [...world.fakeEngine.volumes.keys()].join(),
  check: (t, world, { stores }, state) => {
    check(t, world, state)
    const [volume] = world.fakeEngine.volumes.values()
    const isRestored = (stores.volumes.find(state.service, 'data')?.generation ?? 1) > 1
    t.equal(volume?.contents.includes('restored'), isRestored, 'all of it or nothing')
    if (!isRestored) t.same([...world.fakeEngine.volumes.keys()], state.volumes)
  },
}

test('a restore is there in full or not at all, wherever the daemon dies', (t) => sweep(t, restore))
