import { execFile } from 'node:child_process'
import { AppError } from '../../lib/errors.ts'
import { endStalled } from '../../lib/stalled-body.ts'
import type { System } from '../../lib/system.ts'
import { LABELS } from '../../runtime/labels.ts'
import type { Runtime } from '../../runtime/runtime.ts'
import type { Database } from '../../store/database.ts'
import type { RecordAudit } from '../audit/audit.ts'
import type { Context } from '../identity/context.ts'
import type { ServiceRow } from '../services/service-schema.ts'
import { checkedContents, type RestoreCount, type RestoreSummary } from './volume-archive.ts'
import { openRoot, type VolumeMounts } from './volume-mounts.ts'
import type { SentArchive } from './volume-operations.ts'
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
  requireVolume: (service: ServiceRow, name: string) => VolumeRow
  /** Throws DISK_FULL when there is no room for so many more bytes. */
  requireRoom: (bytes: number) => Promise<void>
  /** Volumes of the engine that someone is filling now: not to be removed. */
  filling: Set<string>
  /** Called after a commit that changed which volumes replicas ought to have. */
  serviceChanged: () => void
  /** Called after a commit that added something to remove. */
  removalsChanged: () => void
}

const SYNC_MS = 120_000

/**
 * Makes the restore of volumes: a new volume of the engine is filled and brought to the disk, then one transaction lets it take the place of the
 * old one. Until then it stands among what is to be removed, so that a death anywhere leaves the old one in use and nothing behind.
 */
export function createVolumeRestore(deps: VolumeRestoreDeps) {
  const { database, system, store, runtime, filling } = deps

  const fill = async (
    volume: VolumeRow,
    service: ServiceRow,
    { stream, format }: SentArchive,
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
    await syncVolume(runtime, name)
    return { entries: found.entries, bytes: found.bytes }
  }

  const swap = (context: Context, serviceId: string, volume: VolumeRow, count: RestoreCount): void =>
    database.transact(() => {
      const service = deps.findService(serviceId)
      const now = system.nowIso()
      if (!service || !store.advance(volume.id, volume.generation, now)) throw new AppError('CONFLICT')
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
    if (filling.has(target))
      throw new AppError('CONFLICT', { message: 'Another restore of this volume is under way.' })
    filling.add(target)
    try {
      store.addRemoval(target, system.nowIso())
      const count = await fill(volume, service, archive, signal)
      swap(context, service.id, volume, count)
      return count
    } finally {
      filling.delete(target)
      deps.removalsChanged()
    }
  }
}

/** What the engine unpacked is in the memory of the kernel only. Where its directory cannot be seen from here, that is as far as it goes. */
async function syncVolume(runtime: Runtime, name: string): Promise<void> {
  const volumes = await runtime.listVolumes({ [LABELS.kind]: 'volume' })
  const found = volumes.find((each) => each.name === name)
  const directory = found?.directory
  if (directory === undefined || directory === null) return
  await new Promise<void>((resolve) => {
    execFile(
      'sync',
      ['--file-system', '--', directory],
      { timeout: SYNC_MS, cwd: '/', env: { PATH: '/usr/bin:/bin' } },
      () => resolve(),
    )
  })
}
