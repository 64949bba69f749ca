import type { ContainerInspectInfo } from 'dockerode'
import { AppError } from '../lib/errors.ts'
import type { System } from '../lib/system.ts'
import { containerDigest } from './container-digest.ts'
import { containerOptions } from './container-hardening.ts'
import type { DockerEngine } from './docker-engine.ts'
import { engineMessageOf, engineStatusOf } from './docker-errors.ts'
import { labelFilter } from './docker-images.ts'
import { LABELS } from './labels.ts'
import { mapBounded } from './map-bounded.ts'
import { ContainerRefused } from './runtime.ts'
import type { ContainerInfo, ContainerPhase, ContainerSpec, Runtime } from './runtime.ts'

const INSPECTS_AT_ONCE = 8
const ENSURE_TRIES = 20
const RETRY_MS = 100
const START_TIMEOUT_MS = 60_000
/** Beyond the grace period: the engine still has to kill and clean up. */
const STOP_MARGIN_MS = 30_000
const REMOVE_TIMEOUT_MS = 60_000

type ContainerVerbs = Pick<
  Runtime,
  | 'ensureContainer'
  | 'startContainer'
  | 'stopContainer'
  | 'removeContainer'
  | 'inspectContainer'
  | 'listContainers'
>

export interface DockerContainersOptions {
  engine: DockerEngine
  nodeId: string
  system: System
}

export function createDockerContainers({ engine, nodeId, system }: DockerContainersOptions): ContainerVerbs {
  const find = (nameOrId: string): Promise<ContainerInspectInfo | undefined> =>
    engine.call('inspect container', async (docker, abortSignal) => {
      try {
        return await docker.getContainer(requireName(nameOrId)).inspect({ abortSignal })
      } catch (error) {
        if (engineStatusOf(error) === 404) return undefined
        throw error
      }
    })

  const isOurs = (found: ContainerInspectInfo): boolean => found.Config.Labels[LABELS.node] === nodeId

  async function ensureContainer(container: ContainerSpec): Promise<string> {
    const digest = containerDigest(container)
    for (let attempt = 0; attempt < ENSURE_TRIES; attempt += 1) {
      const found = await find(container.name)
      if (found && !isOurs(found)) throw foreignContainer(container.name)
      if (found && found.Config.Labels[LABELS.spec] === digest && !isLeaving(found)) return found.Id
      if (found) await removeById(found.Id)
      const id = await create(container, digest)
      if (id !== undefined) return id
      // Another step has just made it, or the engine is still taking its predecessor away.
      await system.sleep(RETRY_MS)
    }
    throw new AppError('CONFLICT', {
      message: `The container ${container.name} keeps being replaced by someone else.`,
    })
  }

  /** Undefined when the name is taken. */
  function create(container: ContainerSpec, digest: string): Promise<string | undefined> {
    const labels = { ...BLANK_LABELS, ...container.labels, [LABELS.node]: nodeId, [LABELS.spec]: digest }
    // The body apart from the query: dockerode would else put all of it, environment included, into the URL as well.
    const request = {
      _query: { name: requireName(container.name) },
      _body: containerOptions(container, labels),
    }
    return engine.call('create container', async (docker, abortSignal) => {
      try {
        return (await docker.createContainer({ ...request, abortSignal })).id
      } catch (error) {
        if (engineStatusOf(error) === 409) return undefined
        if (engineStatusOf(error) === 400) throw refused(error)
        throw error
      }
    })
  }

  async function startContainer(name: string): Promise<void> {
    const found = await find(name)
    if (!found || !isOurs(found))
      throw new AppError('NOT_FOUND', { cause: new Error(`no container ${name}`) })
    await engine.call(
      'start container',
      async (docker, abortSignal) => {
        try {
          await docker.getContainer(found.Id).start({ abortSignal })
        } catch (error) {
          const status = engineStatusOf(error)
          if (status === 304) return
          // 404 is also said of the network, and of a command that is not in the image.
          if (
            status === 400 ||
            status === 500 ||
            (status === 404 && !/no such container/i.test(engineMessageOf(error)))
          )
            throw refused(error)
          throw error
        }
      },
      { timeoutMs: START_TIMEOUT_MS },
    )
  }

  async function stopContainer(name: string, graceSeconds: number): Promise<void> {
    const found = await find(name)
    if (!found || !isOurs(found)) return
    await engine.call(
      'stop container',
      async (docker, abortSignal) => {
        try {
          await docker.getContainer(found.Id).stop({ t: graceSeconds, abortSignal })
        } catch (error) {
          if (engineStatusOf(error) === 304 || engineStatusOf(error) === 404) return
          throw error
        }
      },
      { timeoutMs: graceSeconds * 1000 + STOP_MARGIN_MS },
    )
  }

  async function removeById(id: string): Promise<void> {
    const outcome = await engine.call(
      'remove container',
      async (docker, abortSignal) => {
        try {
          await docker.getContainer(id).remove({ force: true, v: true, abortSignal })
          return 'removed'
        } catch (error) {
          if (engineStatusOf(error) === 404) return 'removed'
          if (engineStatusOf(error) === 409) return 'being removed'
          throw error
        }
      },
      { timeoutMs: REMOVE_TIMEOUT_MS },
    )
    if (outcome === 'being removed') await awaitGone(id)
  }

  async function awaitGone(id: string): Promise<void> {
    const deadline = system.monotonic() + REMOVE_TIMEOUT_MS
    while (await find(id)) {
      if (system.monotonic() > deadline)
        throw new AppError('RUNTIME_UNAVAILABLE', {
          cause: new Error(`docker: container ${id} is not removed`),
        })
      await system.sleep(RETRY_MS)
    }
  }

  const inspectContainer: ContainerVerbs['inspectContainer'] = async (name) => {
    const found = await find(name)
    return found && isOurs(found) ? toContainerInfo(found) : undefined
  }

  return {
    ensureContainer,
    startContainer,
    stopContainer,
    removeContainer: async (name) => {
      const found = await find(name)
      if (found && isOurs(found)) await removeById(found.Id)
    },
    inspectContainer,
    listContainers: async (labels) => {
      const filters = { label: labelFilter({ ...labels, [LABELS.node]: nodeId }) }
      const found = await engine.call('list containers', (docker, abortSignal) =>
        docker.listContainers({ all: true, filters, abortSignal }),
      )
      // The list itself knows neither exit codes nor instants.
      const containers = await mapBounded(found, INSPECTS_AT_ONCE, (container) =>
        inspectContainer(container.Id),
      )
      return containers.filter((container) => container !== undefined)
    },
  }
}

/**
 * A container takes over the labels of its image, and an image may come from anyone: what Berth's labels say of a container must be said
 * by Berth, so those that it was not given are blank.
 */
const BLANK_LABELS = Object.fromEntries(Object.values(LABELS).map((name) => [name, '']))

/** Labels without Berth's blank ones. */
export function withoutBlanks(labels: Record<string, string>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(labels).filter(([name, value]) => value !== '' || !(name in BLANK_LABELS)),
  )
}

/** dockerode puts names into paths as they are. */
export function requireName(name: string): string {
  if (/^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,254}$/.test(name)) return name
  throw new AppError('INTERNAL', { cause: new Error(`not a container name: ${JSON.stringify(name)}`) })
}

function isLeaving(found: ContainerInspectInfo): boolean {
  return found.State.Dead || found.State.Status === 'removing'
}

function foreignContainer(name: string): AppError {
  return new AppError('CONFLICT', {
    message: `A container named ${name} exists that this node did not make.`,
  })
}

function refused(error: unknown): ContainerRefused {
  return new ContainerRefused(readableRefusal(engineMessageOf(error)), { cause: error })
}

/** Takes the reason out of the layers that containerd and runc put around it. */
export function readableRefusal(message: string): string {
  const reason =
    /(?:unable to start container process|starting container process caused): (.*)$/s.exec(message)?.[1] ??
    message
  return reason.replace(/: unknown$/, '').trim()
}

const NEVER = '0001-01-01T00:00:00Z'

function toContainerInfo(found: ContainerInspectInfo): ContainerInfo {
  const state = found.State
  const phase = phaseOf(state.Status)
  return {
    id: found.Id,
    name: found.Name.replace(/^\//, ''),
    phase,
    labels: withoutBlanks(found.Config.Labels),
    image: found.Config.Image,
    address: phase === 'running' ? addressOf(found) : null,
    exit_code: phase === 'exited' ? state.ExitCode : null,
    oom_killed: state.OOMKilled,
    started_at: instantOrNull(state.StartedAt),
    finished_at: phase === 'running' ? null : instantOrNull(state.FinishedAt),
    error: state.Error || null,
  }
}

function phaseOf(status: string): ContainerPhase {
  if (status === 'created') return 'created'
  return ['running', 'paused', 'restarting'].includes(status) ? 'running' : 'exited'
}

function addressOf(found: ContainerInspectInfo): string | null {
  return found.NetworkSettings.Networks[found.HostConfig.NetworkMode ?? '']?.IPAddress || null
}

function instantOrNull(instant: string): string | null {
  return instant === NEVER || instant === '' ? null : instant
}
