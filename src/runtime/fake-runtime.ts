import { AppError } from '../lib/errors.ts'
import type { System } from '../lib/system.ts'
import { createFakeBuildCache } from './fake-build-cache.ts'
import { createFakeContainers } from './fake-containers.ts'
import {
  addFakeImage,
  createFakeEngine,
  type FakeContainer,
  type FakeEngine,
  type FakeProgramOf,
} from './fake-engine.ts'
import { createFaultyVerbs, type FakeFaults, type FaultyVerbs, type RuntimeVerb } from './fake-faults.ts'
import { createFakeImages, type FakeBuilder } from './fake-images.ts'
import { createFakeTransfers } from './fake-transfers.ts'
import { createFakeStreams } from './fake-streams.ts'
import { createFakeVolumes } from './fake-volumes.ts'
import { LABELS } from './labels.ts'
import type { EngineInfo, ImageInfo, Runtime } from './runtime.ts'

/** What a test can do to the world behind a runtime. */
export interface FakeControls extends FakeFaults {
  /** What containers of this image do when they are started; it may depend on the container. Without a program they run and say nothing. */
  program(image: string, program: FakeProgramOf): void
  /** What builds do. Without it they succeed at once. */
  build(builder: FakeBuilder): void
  /** Puts an image there that Berth did not make. */
  addImage(tag: string, image?: Partial<ImageInfo>): ImageInfo
  /** The engine goes away: every verb fails and streams break. Its containers run on. */
  setAway(away: boolean): void
  /** A container exits by itself. */
  exit(name: string, code: number, oomKilled?: boolean): void
  /** A container says something. */
  print(name: string, line: string, stream?: 'stdout' | 'stderr'): void
  /** Someone removes a container by hand. */
  removeByHand(name: string): void
  container(name: string): FakeContainer | undefined
}

export interface FakeRuntimeOptions {
  system: System
  nodeId?: string
  /** An engine that an earlier daemon has used. */
  engine?: FakeEngine
}

export interface FakeRuntime {
  runtime: Runtime
  controls: FakeControls
  /** Hand it to the next runtime to restart the daemon without restarting the engine. */
  engine: FakeEngine
}

/** A runtime without an engine: for tests that want speed or faults. */
export function createFakeRuntime({
  system,
  nodeId = 'node',
  engine = createFakeEngine(system),
}: FakeRuntimeOptions): FakeRuntime {
  const verbs = createFaultyVerbs(engine)
  let builder: FakeBuilder = () => ({})
  const plain = {
    inspectEngine: async () => ENGINE_INFO,
    ...createFakeNetworks(engine, nodeId),
    ...createFakeImages(engine, nodeId, system, () => builder),
    ...createFakeBuildCache(engine, system),
    ...createFakeTransfers(engine),
    ...createFakeContainers(engine, nodeId, system),
    ...createFakeVolumes(engine, nodeId),
  }
  return {
    engine,
    runtime: { ...withFaults(plain, verbs), ...createFakeStreams(engine, nodeId, verbs) },
    controls: { ...verbs.faults, ...worldControls(engine), build: (next) => (builder = next) },
  }
}

const ENGINE_INFO: EngineInfo = {
  version: '0.0.0-fake',
  api_version: '1.41',
  cgroup_version: '2',
  cgroup_driver: 'cgroupfs',
  os: 'memory',
  kernel: '0',
  cpus: 2,
  memory_bytes: 4 * 1024 ** 3,
  buildkit: true,
}

function createFakeNetworks(
  engine: FakeEngine,
  nodeId: string,
): Pick<Runtime, 'ensureNetwork' | 'removeNetwork'> {
  const requireOwn = (name: string): void => {
    if ((engine.networks.get(name)?.labels[LABELS.node] ?? nodeId) === nodeId) return
    throw new AppError('CONFLICT', { message: `A network named ${name} exists that this node did not make.` })
  }
  return {
    ensureNetwork: async ({ name, labels }) => {
      requireOwn(name)
      if (!engine.networks.has(name))
        engine.networks.set(name, { name, labels: { ...labels, [LABELS.node]: nodeId } })
    },
    removeNetwork: async (name) => {
      requireOwn(name)
      const users = [...engine.containers.values()].filter(
        ({ phase, spec }) => phase === 'running' && spec.network === name,
      )
      if (users.length > 0) throw new AppError('CONFLICT', { message: 'The network is in use.' })
      engine.networks.delete(name)
    },
  }
}

/** The same verbs, each with what a test arranged for it. */
function withFaults<T extends Partial<Runtime>>(plain: T, verbs: FaultyVerbs): T {
  const wrapped = Object.entries(plain).map(([verb, run]) => [
    verb,
    (...args: unknown[]) =>
      verbs.around(verb as RuntimeVerb, args, () =>
        (run as (...args: unknown[]) => Promise<unknown>)(...args),
      ),
  ])
  return Object.fromEntries(wrapped) as T
}

function worldControls(engine: FakeEngine): Omit<FakeControls, keyof FakeFaults | 'build'> {
  const require = (name: string): FakeContainer => {
    const found = engine.containers.get(name)
    if (!found)
      throw new Error(`fake: no container ${name}; there are: ${[...engine.containers.keys()].join(', ')}`)
    return found
  }
  return {
    program: (image, program) => engine.programs.set(image, program),
    addImage: (tag, image) => addFakeImage(engine, tag, image),
    setAway: (away) => {
      engine.away = away
      engine.notify()
    },
    exit: (name, code, oomKilled) => engine.exit(require(name), code, oomKilled),
    print: (name, line, stream = 'stdout') => engine.print(require(name), stream, line),
    removeByHand: (name) => engine.remove(require(name)),
    container: (name) => engine.containers.get(name),
  }
}
