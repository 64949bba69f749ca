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
  /** Removes the output that was kept of the service and of its deployments. */
  removeLogs: (serviceId: string) => Promise<void>
  /** Removes the volumes of the service; false when one cannot go yet. */
  removeVolumes: (serviceId: string) => Promise<boolean>
  networkOf: (projectId: string) => string
  /** Removes the row: the last thing that happens. */
  removeRow: (serviceId: string) => void
  removed: (serviceId: string) => void
}

/**
 * The body of a worker: removes what services that are being deleted left behind. Their containers go by the reconciler, because nobody wants
 * them any more; when they are gone, so do images, volumes, logs, the project's network if it was the last service, and then the row. A crash anywhere
 * leaves the row, and the next run goes on.
 */
export async function removeDeletedServices(deps: ServiceRemovalDeps, signal: AbortSignal): Promise<void> {
  for (const service of deps.listDeleting()) {
    if (signal.aborted) return
    await deps.endDeployments(service.id)
    const containers = await deps.runtime.listContainers({ [LABELS.service]: service.id })
    const others = containers.filter(({ labels }) => labels[LABELS.kind] === 'release_command')
    for (const { name } of others) await deps.runtime.removeContainer(name)
    if (containers.length > others.length) continue
    if (!(await removeImages(deps.runtime, service.id))) continue
    if (!(await deps.removeVolumes(service.id))) continue
    await deps.removeLogs(service.id)
    if (deps.countByProject(service.project_id) === 1)
      await removeNetwork(deps.runtime, deps.networkOf(service.project_id))
    deps.removeRow(service.id)
    deps.removed(service.id)
  }
}

async function removeImages(runtime: Runtime, serviceId: string): Promise<boolean> {
  for (const image of await runtime.listImages({ [LABELS.kind]: 'image', [LABELS.service]: serviceId })) {
    try {
      for (const reference of image.tags.length > 0 ? image.tags : [image.id])
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
