import { opendir } from 'node:fs/promises'
import { isAppError } from '../../lib/errors.ts'
import { LABELS } from '../../runtime/labels.ts'
import type { Runtime, VolumeInfo } from '../../runtime/runtime.ts'
import type { VolumeHolds } from './volume-holds.ts'

export interface VolumeOrphanDeps {
  runtime: Pick<Runtime, 'listVolumes' | 'removeVolume'>
  holds: Pick<VolumeHolds, 'remove'>
  /** Whether there is a row of the service, also of one that is being deleted. */
  hasService: (serviceId: string) => boolean
}

/**
 * The body of a worker: removes empty volumes of services that are gone. The engine may make one late, on a request that it never answered. One with
 * something in it stays, and one that cannot be looked into: the database may have been restored from before its service was made.
 */
export async function removeOrphans(deps: VolumeOrphanDeps, signal: AbortSignal): Promise<void> {
  for (const { name, labels, directory } of await listAll(deps)) {
    if (signal.aborted) return
    const service = labels[LABELS.service]
    if (service === undefined || deps.hasService(service) || !(await isEmpty(directory))) continue
    try {
      await deps.holds.remove(name, () => deps.runtime.removeVolume(name))
    } catch (error) {
      // A container has it: there is a next time.
      if (!isAppError(error, 'CONFLICT')) throw error
    }
  }
}

/** None while the engine is away, which others tell of. */
async function listAll({ runtime }: Pick<VolumeOrphanDeps, 'runtime'>): Promise<VolumeInfo[]> {
  try {
    return await runtime.listVolumes({ [LABELS.kind]: 'volume' })
  } catch (error) {
    if (isAppError(error, 'RUNTIME_UNAVAILABLE')) return []
    throw error
  }
}

async function isEmpty(directory: string | null): Promise<boolean> {
  if (directory === null) return false
  try {
    await using entries = await opendir(directory)
    return (await entries.read()) === null
  } catch {
    return false
  }
}
