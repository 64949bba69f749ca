import { isAppError } from '../../lib/errors.ts'
import { LABELS } from '../../runtime/labels.ts'
import type { Runtime } from '../../runtime/runtime.ts'
import type { ServiceSummary } from './service-schema.ts'

export interface ServiceRemovalDeps {
  runtime: Runtime
  listDeleting: () => readonly ServiceSummary[]
  /** How many services a project has, with those that are being deleted. */
  countByProject: (projectId: string) => number
  /** Cancels what is under way and waits until it has ended. */
  endDeployments: (serviceId: string) => Promise<void>
  /** The names in the engine of images that came from elsewhere. */
  foreignImages: (serviceId: string) => readonly string[]
  /** Removes the output that was kept of the service and of its deployments. */
  removeLogs: (serviceId: string) => Promise<void>
  /** Removes the volumes of the service; false when one cannot go yet. */
  removeVolumes: (serviceId: string) => Promise<boolean>
  networkOf: (projectId: string) => string
  /** Removes the row and what only it kept in the registry: the last thing that happens. */
  removeRow: (service: ServiceSummary) => void
  removed: (serviceId: string) => void
}

/**
 * The body of a worker: removes what services that are being deleted left behind. Their containers go by the reconciler, because nobody wants
 * them any more; when they are gone, so do images, volumes, logs, the project's network if it was the last service, and then the row. A crash anywhere
 * leaves the row, and the next run goes on. One that fails does not hold up the others; its error is thrown at the end.
 */
export async function removeDeletedServices(deps: ServiceRemovalDeps, signal: AbortSignal): Promise<void> {
  const failures: unknown[] = []
  for (const service of deps.listDeleting()) {
    if (signal.aborted) return
    try {
      await removeDeleted(deps, service)
    } catch (error) {
      failures.push(error)
    }
  }
  if (failures.length > 0) throw failures[0]
}

async function removeDeleted(deps: ServiceRemovalDeps, service: ServiceSummary): Promise<void> {
  await deps.endDeployments(service.id)
  const containers = await deps.runtime.listContainers({ [LABELS.service]: service.id })
  const others = containers.filter(({ labels }) => labels[LABELS.kind] === 'release_command')
  for (const { name } of others) await deps.runtime.removeContainer(name)
  if (containers.length > others.length) return
  if (!(await removeImages(deps, service.id))) return
  if (!(await deps.removeVolumes(service.id))) return
  await deps.removeLogs(service.id)
  if (deps.countByProject(service.project_id) === 1)
    await removeNetwork(deps.runtime, deps.networkOf(service.project_id))
  deps.removeRow(service)
  deps.removed(service.id)
}

async function removeImages(
  { runtime, foreignImages }: Pick<ServiceRemovalDeps, 'runtime' | 'foreignImages'>,
  serviceId: string,
): Promise<boolean> {
  const labels = { [LABELS.kind]: 'image', [LABELS.service]: serviceId }
  const made = (await runtime.listImages(labels)).flatMap(({ id, tags }) => (tags.length > 0 ? tags : [id]))
  for (const reference of new Set([...made, ...foreignImages(serviceId)])) {
    try {
      await runtime.removeImage(reference)
    } catch (error) {
      if (isAppError(error, 'CONFLICT')) return false
      throw error
    }
  }
  return true
}

/** In use means that a service was added meanwhile: it stays for that one. */
async function removeNetwork(runtime: Runtime, name: string): Promise<void> {
  try {
    await runtime.removeNetwork(name)
  } catch (error) {
    if (!isAppError(error, 'CONFLICT')) throw error
  }
}
