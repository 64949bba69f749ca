import type { ContainerInspectInfo } from 'dockerode'
import { AppError } from '../lib/errors.ts'
import type { System } from '../lib/system.ts'
import { containerDigest } from './container-digest.ts'
import { containerOptions } from './container-hardening.ts'
import { BLANK_LABELS, isOwnContainer, nameOf, readableRefusal, toContainerInfo } from './container-info.ts'
import type { DockerEngine } from './docker-engine.ts'
import { engineMessageOf, engineStatusOf } from './docker-errors.ts'
import { labelFilter } from './docker-images.ts'
import { LABELS } from './labels.ts'
import { mapBounded } from './map-bounded.ts'
import { ContainerRefused } from './runtime.ts'
import type { ContainerInfo, ContainerSpec, Runtime } from './runtime.ts'

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

/** Whose containers these are, and what is needed to reach them. */
interface Owner {
  engine: DockerEngine
  nodeId: string
  system: System
}

export function createDockerContainers(owner: Owner): ContainerVerbs {
  return {
    ensureContainer: (container) => ensureContainer(owner, container),
    startContainer: (name) => startContainer(owner, name),
    stopContainer: (name, graceSeconds) => stopContainer(owner, name, graceSeconds),
    removeContainer: async (name) => {
      const found = await findOwn(owner, name)
      if (found) await removeById(owner, found.Id)
    },
    inspectContainer: (name) => inspectContainer(owner, name),
    listContainers: (labels) => listContainers(owner, labels),
  }
}

/** dockerode puts names into paths as they are. */
export function requireName(name: string): string {
  if (/^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,254}$/.test(name)) return name
  throw new AppError('INTERNAL', { cause: new Error(`not a container name: ${JSON.stringify(name)}`) })
}

function find({ engine }: Owner, nameOrId: string): Promise<ContainerInspectInfo | undefined> {
  return engine.call('inspect container', async (docker, abortSignal) => {
    try {
      return await docker.getContainer(requireName(nameOrId)).inspect({ abortSignal })
    } catch (error) {
      if (engineStatusOf(error) === 404) return undefined
      throw error
    }
  })
}

function isOwn({ nodeId }: Owner, found: ContainerInspectInfo): boolean {
  return isOwnContainer(nodeId, nameOf(found), found.Config.Labels)
}

async function findOwn(owner: Owner, name: string): Promise<ContainerInspectInfo | undefined> {
  const found = await find(owner, name)
  return found && isOwn(owner, found) ? found : undefined
}

async function inspectContainer(owner: Owner, name: string): Promise<ContainerInfo | undefined> {
  const found = await findOwn(owner, name)
  return found && toContainerInfo(found)
}

async function listContainers(owner: Owner, labels: Record<string, string>): Promise<ContainerInfo[]> {
  const filters = { label: labelFilter({ ...labels, [LABELS.node]: owner.nodeId }) }
  const found = await owner.engine.call('list containers', (docker, abortSignal) =>
    docker.listContainers({ all: true, filters, abortSignal }),
  )
  // The list itself knows neither exit codes nor instants.
  const containers = await mapBounded(found, INSPECTS_AT_ONCE, ({ Id }) => inspectContainer(owner, Id))
  return containers.filter((container) => container !== undefined)
}

async function ensureContainer(owner: Owner, container: ContainerSpec): Promise<string> {
  const digest = containerDigest(container)
  for (let attempt = 0; attempt < ENSURE_TRIES; attempt += 1) {
    const found = await find(owner, container.name)
    if (found && !isOwn(owner, found)) throw foreignContainer(container.name)
    if (found && found.Config.Labels[LABELS.spec] === digest && !isLeaving(found)) return found.Id
    if (found) await removeById(owner, found.Id)
    const id = await create(owner, container, digest)
    if (id !== undefined) return id
    // Another step has just made it, or the engine is still taking its predecessor away.
    await owner.system.sleep(RETRY_MS)
  }
  throw new AppError('CONFLICT', {
    message: `The container ${container.name} keeps being replaced by someone else.`,
  })
}

/** Undefined when the name is taken. */
function create(owner: Owner, container: ContainerSpec, digest: string): Promise<string | undefined> {
  const labels = {
    ...BLANK_LABELS,
    ...container.labels,
    [LABELS.node]: owner.nodeId,
    [LABELS.container]: container.name,
    [LABELS.spec]: digest,
  }
  // The body apart from the query: dockerode would else put all of it, environment included, into the URL as well.
  const request = {
    _query: { name: requireName(container.name) },
    _body: containerOptions(container, labels),
  }
  return owner.engine.call('create container', async (docker, abortSignal) => {
    try {
      return (await docker.createContainer({ ...request, abortSignal })).id
    } catch (error) {
      if (engineStatusOf(error) === 409) return undefined
      if (engineStatusOf(error) === 400) throw refused(error)
      throw error
    }
  })
}

async function startContainer(owner: Owner, name: string): Promise<void> {
  const found = await findOwn(owner, name)
  if (!found) throw new AppError('NOT_FOUND', { cause: new Error(`no container ${name}`) })
  await owner.engine.call(
    'start container',
    async (docker, abortSignal) => {
      try {
        await docker.getContainer(found.Id).start({ abortSignal })
      } catch (error) {
        if (engineStatusOf(error) === 304) return
        throw isRefusal(error) ? refused(error) : error
      }
    },
    { timeoutMs: START_TIMEOUT_MS },
  )
}

/** 404 is also said of the network, and of a command that is not in the image. */
function isRefusal(error: unknown): boolean {
  const status = engineStatusOf(error)
  return (
    status === 400 || status === 500 || (status === 404 && !/no such container/i.test(engineMessageOf(error)))
  )
}

async function stopContainer(owner: Owner, name: string, graceSeconds: number): Promise<void> {
  const found = await findOwn(owner, name)
  if (!found) return
  await owner.engine.call(
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

async function removeById(owner: Owner, id: string): Promise<void> {
  const outcome = await owner.engine.call(
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
  if (outcome === 'being removed') await awaitGone(owner, id)
}

async function awaitGone(owner: Owner, id: string): Promise<void> {
  const deadline = owner.system.monotonic() + REMOVE_TIMEOUT_MS
  while (await find(owner, id)) {
    if (owner.system.monotonic() > deadline)
      throw new AppError('RUNTIME_UNAVAILABLE', {
        cause: new Error(`docker: container ${id} is not removed`),
      })
    await owner.system.sleep(RETRY_MS)
  }
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
