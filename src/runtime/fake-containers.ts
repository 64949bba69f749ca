import { AppError } from '../lib/errors.ts'
import type { System } from '../lib/system.ts'
import { containerDigest } from './container-digest.ts'
import { isOwnContainer } from './container-info.ts'
import { findFakeImage, type FakeContainer, type FakeEngine } from './fake-engine.ts'
import { LABELS } from './labels.ts'
import { ContainerRefused } from './runtime.ts'
import type { ContainerInfo, ContainerSpec, Runtime } from './runtime.ts'

type ContainerVerbs = Pick<
  Runtime,
  | 'ensureContainer'
  | 'startContainer'
  | 'stopContainer'
  | 'removeContainer'
  | 'inspectContainer'
  | 'readUsage'
  | 'listContainers'
>

/** The verbs of containers over an engine in memory. */
export function createFakeContainers(engine: FakeEngine, nodeId: string, system: System): ContainerVerbs {
  const isOwn = ({ spec, labels }: FakeContainer): boolean => isOwnContainer(nodeId, spec.name, labels)
  const find = (name: string): FakeContainer | undefined => {
    const found = engine.containers.get(name)
    return found && isOwn(found) ? found : undefined
  }

  return {
    ensureContainer: async (spec) => {
      const digest = containerDigest(spec)
      const found = engine.containers.get(spec.name)
      if (found && !isOwn(found)) {
        throw new AppError('CONFLICT', {
          message: `A container named ${spec.name} exists that this node did not make.`,
        })
      }
      if (found?.labels[LABELS.spec] === digest) return found.id
      if (found) engine.remove(found)
      if (!findFakeImage(engine, spec.image))
        throw new AppError('NOT_FOUND', { cause: new Error(`no image ${spec.image}`) })
      const container = newContainer(
        spec,
        {
          ...spec.labels,
          [LABELS.node]: nodeId,
          [LABELS.container]: spec.name,
          [LABELS.spec]: digest,
        },
        system,
      )
      engine.containers.set(spec.name, container)
      return container.id
    },

    startContainer: async (name) => {
      const container = find(name)
      if (!container) throw new AppError('NOT_FOUND', { cause: new Error(`no container ${name}`) })
      if (container.phase === 'running') return
      if (!engine.networks.has(container.spec.network)) {
        throw new ContainerRefused(`network ${container.spec.network} not found`)
      }
      await engine.start(container)
      if (container.program.refuse !== undefined) throw new ContainerRefused(container.program.refuse)
    },

    stopContainer: async (name, graceSeconds) => {
      const container = find(name)
      if (container?.phase !== 'running') return
      const { sigterm = 143 } = container.program
      if (sigterm !== 'ignore') return engine.exit(container, sigterm)
      await system.sleep(graceSeconds * 1000)
      engine.exit(container, 137)
    },

    removeContainer: async (name) => {
      const container = find(name)
      if (container) engine.remove(container)
    },

    inspectContainer: async (name) => {
      const container = find(name)
      return container && toInfo(container)
    },

    readUsage: async (id) =>
      [...engine.containers.values()].find((container) => container.id === id)?.program.usage?.(),

    listContainers: async (labels) => {
      const wanted = Object.entries({ ...labels, [LABELS.node]: nodeId })
      return [...engine.containers.values()]
        .filter(isOwn)
        .filter((container) => wanted.every(([label, value]) => container.labels[label] === value))
        .map(toInfo)
    },
  }
}

function newContainer(spec: ContainerSpec, labels: Record<string, string>, system: System): FakeContainer {
  return {
    id: system.newId().replaceAll('-', '').padEnd(64, '0'),
    spec: structuredClone(spec),
    labels,
    phase: 'created',
    address: null,
    exit_code: null,
    oom_killed: false,
    started_at: null,
    finished_at: null,
    error: null,
    log: [],
    program: {},
    starts: 0,
  }
}

function toInfo(container: FakeContainer): ContainerInfo {
  const { id, spec, labels, phase, address, exit_code, oom_killed, started_at, finished_at, error } =
    container
  return {
    id,
    name: spec.name,
    phase,
    labels: { ...labels },
    image: spec.image,
    address,
    exit_code,
    oom_killed,
    started_at,
    finished_at,
    error,
  }
}
