import { isAppError, messageOf } from '../../lib/errors.ts'
import { LABELS } from '../../runtime/labels.ts'
import type { Runtime } from '../../runtime/runtime.ts'
import type { VolumeHolds } from './volume-holds.ts'
import type { VolumeMounts } from './volume-mounts.ts'
import type { VolumeStore } from './volume-store.ts'

export interface VolumeRemovalDeps {
  runtime: Runtime
  store: VolumeStore
  holds: VolumeHolds
}

/**
 * Removes all volumes of a service that is being deleted; answers which is still in use, or that someone is at work with it. It takes a turn of the
 * service: a start that was let in before would have the engine make an empty volume of one that has gone, after everybody has looked.
 */
export async function removeVolumesOfService(
  {
    runtime,
    holds,
    mounts,
  }: Pick<VolumeRemovalDeps, 'runtime' | 'holds'> & { mounts: Pick<VolumeMounts, 'inTurn'> },
  serviceId: string,
): Promise<string | undefined> {
  return mounts.inTurn(serviceId, async () => {
    let holder: string | undefined
    const volumes = await runtime.listVolumes({ [LABELS.kind]: 'volume', [LABELS.service]: serviceId })
    for (const { name } of volumes) {
      try {
        if (!(await holds.remove(name, () => runtime.removeVolume(name))))
          holder ??= `volume ${name}: it is being read`
      } catch (error) {
        if (!isAppError(error, 'CONFLICT')) throw error
        holder ??= `volume ${name}: ${messageOf(error.cause ?? error)}`
      }
    }
    return holder
  })
}

/**
 * The body of a worker: removes the volumes of the engine that were given up. One that a container still has, or that someone is at work with, stays
 * for the next time. One that cannot be removed does not keep the others; the first such error is thrown in the end.
 */
export async function removeVolumes(deps: VolumeRemovalDeps, signal: AbortSignal): Promise<void> {
  const failures: unknown[] = []
  for (const name of deps.store.listRemovals()) {
    if (signal.aborted) return
    try {
      await removeVolume(deps, name)
    } catch (error) {
      if (isAppError(error, 'RUNTIME_UNAVAILABLE')) throw error
      if (!isAppError(error, 'CONFLICT')) failures.push(error)
    }
  }
  if (failures.length > 0) throw failures[0]
}

async function removeVolume({ runtime, store, holds }: VolumeRemovalDeps, name: string): Promise<void> {
  await holds.remove(name, async () => {
    // The list was made before the removals ahead of it: a restore may have brought this one into use since.
    if (!store.isToBeRemoved(name)) return
    await runtime.removeVolume(name)
    store.dropRemoval(name)
  })
}
