import { AppError } from '../../lib/errors.ts'
import { createSlots } from '../../lib/slots.ts'
import { endStalled } from '../../lib/stalled-body.ts'
import type { System } from '../../lib/system.ts'
import type { Runtime } from '../../runtime/runtime.ts'
import type { Database } from '../../store/database.ts'
import type { RecordAudit } from '../audit/audit.ts'
import type { Context } from '../identity/context.ts'
import type { DeploymentRow } from '../deployments/deployment-schema.ts'
import type { ServiceRow } from '../services/service-schema.ts'
import {
  checkedContents,
  type RestoreCount,
  type RestoreSummary,
  type SentArchive,
} from './volume-archive.ts'
import type { VolumeHolds } from './volume-holds.ts'
import type { VolumeMounts } from './volume-mounts.ts'
import { openRoot } from './volume-preparation.ts'
import { engineName, type VolumeRow } from './volume-schema.ts'
import type { VolumeStore } from './volume-store.ts'

export interface VolumeRestoreDeps {
  database: Database
  system: System
  store: VolumeStore
  runtime: Runtime
  mounts: VolumeMounts
  recordAudit: RecordAudit
  findService: (id: string) => ServiceRow | undefined
  listReleases: (service: ServiceRow) => readonly Pick<DeploymentRow, 'id' | 'config'>[]
  requireVolume: (service: ServiceRow, name: string) => VolumeRow
  /** Throws DISK_FULL when there is no room for so many more bytes. */
  requireRoom: (bytes: number) => Promise<void>
  holds: VolumeHolds
  /** Brings all that is in a volume of the engine to the disk; throws when that is not known to have worked. */
  syncVolume: (name: string) => Promise<void>
  /** Inside the transaction: takes the replicas of a release, which have the old volume, out of the routes. */
  retireReplicas: (deploymentId: string) => void
  /** Resolves when no request reaches a replica that was retired; they wait for its successor. */
  replicasRetired: () => Promise<void>
  /** Called after a commit that added something to remove. */
  removalsChanged: () => void
}

/** Each may have a decompressor with a window of 128 MiB and the disk to itself; the rest waits in its connection. */
const RESTORES = { slots: 3, waiting: 32, waitMs: 60_000, ofOne: { slots: 2, waiting: 8 } }

/**
 * Makes the restore of volumes: a new volume of the engine is filled and brought to the disk, then one transaction lets it take the place of the
 * old one. Until then it stands among what is to be removed, so that a death anywhere leaves the old one in use and nothing behind.
 */
export function createVolumeRestore(deps: VolumeRestoreDeps) {
  const { database, system, store, runtime } = deps
  const slots = createSlots(system, RESTORES)

  const fill = async (
    volume: VolumeRow,
    service: ServiceRow,
    { format, stream }: SentArchive,
    signal: AbortSignal,
  ): Promise<RestoreCount> => {
    const generation = volume.generation + 1
    const name = engineName({ ...volume, generation })
    const found: RestoreSummary = { entries: 0, bytes: 0 }
    // Of an earlier attempt that did not end.
    await runtime.removeVolume(name)
    await deps.mounts.ensureVolume(volume, service.project_id, generation)
    const contents = checkedContents(format, endStalled(stream, system), found, deps.requireRoom)
    await runtime.writeVolume(name, contents, signal)
    // Last, because what is unpacked into it changes its time.
    await runtime.setVolumeRoot(name, found.root ?? openRoot(system.now()), signal)
    await deps.syncVolume(name)
    return { entries: found.entries, bytes: found.bytes }
  }

  const swap = (context: Context, serviceId: string, volume: VolumeRow, count: RestoreCount): void =>
    database.transact(() => {
      const service = deps.findService(serviceId)
      const now = system.nowIso()
      if (!service || !store.advance(volume.id, volume.generation, now)) throw new AppError('CONFLICT')
      for (const { id, config } of deps.listReleases(service))
        if (id === service.live_deployment_id && config.volumes.some(({ name }) => name === volume.name))
          deps.retireReplicas(id)
      store.dropRemoval(engineName({ ...volume, generation: volume.generation + 1 }))
      store.addRemoval(engineName(volume), now)
      deps.recordAudit(context, {
        action: 'restoreVolume',
        resource_kind: 'service',
        resource_id: service.id,
        project_id: service.project_id,
        details: { service: service.name, volume: volume.name, ...count },
      })
    })

  return async (
    context: Context,
    service: ServiceRow,
    name: string,
    archive: SentArchive,
    signal: AbortSignal,
  ): Promise<RestoreCount> => {
    const volume = deps.requireVolume(service, name)
    const target = engineName({ ...volume, generation: volume.generation + 1 })
    const letGo = deps.holds.takeAlone(target)
    if (!letGo) throw new AppError('CONFLICT', { message: 'Another restore of this volume is under way.' })
    let leave = (): void => {}
    try {
      leave = await slots.acquire(signal, service.project_id)
      // What an earlier attempt left may be on its way out.
      await deps.holds.removalOver(target)
      store.addRemoval(target, system.nowIso())
      const count = await fill(volume, service, archive, signal)
      // The last moment at which it can be called off.
      signal.throwIfAborted()
      swap(context, service.id, volume, count)
      // What a client writes once it was told of the restore must not go to the old contents.
      await deps.replicasRetired()
      return count
    } finally {
      leave()
      letGo()
      deps.removalsChanged()
    }
  }
}
