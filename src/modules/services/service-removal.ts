import { isAppError, messageOf } from '../../lib/errors.ts'
import type { Log } from '../../lib/log.ts'
import type { System } from '../../lib/system.ts'
import { LABELS } from '../../runtime/labels.ts'
import type { Runtime } from '../../runtime/runtime.ts'
import type { ServiceSummary } from './service-schema.ts'

export interface ServiceRemovalDeps {
  runtime: Runtime
  system: Pick<System, 'monotonic'>
  log: Pick<Log, 'warn'>
  listDeleting: () => readonly ServiceSummary[]
  /** How many services a project has, with those that are being deleted. */
  countByProject: (projectId: string) => number
  /** Cancels what is under way and waits until it has ended. */
  endDeployments: (serviceId: string) => Promise<void>
  /** The names that Berth gave to the images of the service in the engine. */
  listImages: (serviceId: string) => Promise<readonly string[]>
  /** Removes the output that was kept of the service and of its deployments. */
  removeLogs: (serviceId: string) => Promise<void>
  /** Removes the volumes of the service; answers why one cannot go yet. */
  removeVolumes: (serviceId: string) => Promise<string | undefined>
  networkOf: (projectId: string) => string
  /** Removes the row and what only it kept in the registry: the last thing that happens. */
  removeRow: (service: ServiceSummary) => void
  removed: (serviceId: string) => void
}

/** Containers leave in their grace time and backups end; what holds a service up for longer is told of. */
const PATIENCE_MS = 60_000

interface Held {
  since: number
  /** What the log was told last. */
  told: string | undefined
}

/**
 * Makes the body of a worker: it removes what services that are being deleted left behind. Their containers go by the reconciler, because nobody
 * wants them any more; when they are gone, so do volumes, images, the project's network if it was the last service, logs, and then the row. A
 * crash anywhere leaves the row, and the next run goes on. One that fails does not hold up the others; its error is thrown at the end.
 */
export function createServiceRemoval(deps: ServiceRemovalDeps): (signal: AbortSignal) => Promise<void> {
  const held = new Map<string, Held>()

  const tell = ({ id, name }: ServiceSummary, by: string): void => {
    const now = deps.system.monotonic()
    const known = held.get(id) ?? { since: now, told: undefined }
    held.set(id, known)
    if (known.told === by || now - known.since < PATIENCE_MS) return
    known.told = by
    deps.log.warn({ service_id: id, service: name, held_by: by }, 'a deleted service cannot be removed yet')
  }

  return async (signal) => {
    const failures: unknown[] = []
    for (const service of deps.listDeleting()) {
      if (signal.aborted) return
      try {
        const holder = await removeDeleted(deps, service)
        if (holder === undefined) held.delete(service.id)
        else tell(service, holder)
      } catch (error) {
        failures.push(error)
      }
    }
    if (failures.length > 0) throw failures[0]
  }
}

/** Answers what keeps it from being removed. */
async function removeDeleted(deps: ServiceRemovalDeps, service: ServiceSummary): Promise<string | undefined> {
  await deps.endDeployments(service.id)
  const containers = await deps.runtime.listContainers({ [LABELS.service]: service.id })
  const others = containers.filter(({ labels }) => labels[LABELS.kind] === 'release_command')
  for (const { name } of others) await deps.runtime.removeContainer(name)
  const replica = containers.find((container) => !others.includes(container))
  if (replica) return `container ${replica.name}`
  const holder =
    (await deps.removeVolumes(service.id)) ??
    (await removeImages(deps, service.id)) ??
    (await removeNetwork(deps, service.project_id))
  if (holder !== undefined) return holder
  await deps.removeLogs(service.id)
  deps.removeRow(service)
  deps.removed(service.id)
  return undefined
}

/** Takes Berth's names from the images; names that others gave them stay, and with them the images. */
async function removeImages(
  { runtime, listImages }: Pick<ServiceRemovalDeps, 'runtime' | 'listImages'>,
  serviceId: string,
): Promise<string | undefined> {
  for (const name of await listImages(serviceId)) {
    try {
      await runtime.removeImage(name)
    } catch (error) {
      if (isAppError(error, 'CONFLICT')) return `image ${name}: ${messageOf(error.cause ?? error)}`
      throw error
    }
  }
  return undefined
}

/** Removes the project's network with its last service; it stays for one that is added meanwhile. */
async function removeNetwork(
  { runtime, networkOf, countByProject }: ServiceRemovalDeps,
  projectId: string,
): Promise<string | undefined> {
  if (countByProject(projectId) > 1) return undefined
  const name = networkOf(projectId)
  try {
    await runtime.removeNetwork(name)
    return undefined
  } catch (error) {
    if (!isAppError(error, 'CONFLICT')) throw error
    return countByProject(projectId) > 1 ? undefined : `network ${name}: ${messageOf(error.cause ?? error)}`
  }
}
