import { isAppError } from '../../lib/errors.ts'
import { LABELS } from '../../runtime/labels.ts'
import type { Runtime } from '../../runtime/runtime.ts'
import type { VolumeStore } from './volume-store.ts'

export interface VolumeRemovalDeps {
  runtime: Runtime
  store: VolumeStore
  /** Volumes of the engine that a restore is filling now. */
  filling: ReadonlySet<string>
}

/** Removes all volumes of a service that is being deleted; false when one is still in use. */
export async function removeVolumesOfService(runtime: Runtime, serviceId: string): Promise<boolean> {
  let isDone = true
  for (const { name } of await runtime.listVolumes({
    [LABELS.kind]: 'volume',
    [LABELS.service]: serviceId,
  })) {
    try {
      await runtime.removeVolume(name)
    } catch (error) {
      if (!isAppError(error, 'CONFLICT')) throw error
      isDone = false
    }
  }
  return isDone
}

/** The body of a worker: removes the volumes of the engine that were given up. One that a container still has stays for the next time. */
export async function removeVolumes(deps: VolumeRemovalDeps, signal: AbortSignal): Promise<void> {
  for (const name of deps.store.listRemovals()) {
    if (signal.aborted) return
    if (deps.filling.has(name)) continue
    try {
      await deps.runtime.removeVolume(name)
      deps.store.dropRemoval(name)
    } catch (error) {
      if (!isAppError(error, 'CONFLICT')) throw error
    }
  }
}
