import type { Readable } from 'node:stream'
import { AppError } from '../../lib/errors.ts'
import { type Page, pageOf, type PageRequest } from '../../lib/page.ts'
import type { System } from '../../lib/system.ts'
import { LABELS } from '../../runtime/labels.ts'
import type { Runtime } from '../../runtime/runtime.ts'
import type { Database } from '../../store/database.ts'
import type { RecordAudit } from '../audit/audit.ts'
import type { DeploymentRow } from '../deployments/deployment-schema.ts'
import type { Actor } from '../identity/actor.ts'
import { requirePermission } from '../identity/authorize.ts'
import type { Context } from '../identity/context.ts'
import type { Permission } from '../identity/permissions.ts'
import type { ServiceRow } from '../services/service-schema.ts'
import type { SentArchive } from './volume-archive.ts'
import type { VolumeMounts } from './volume-mounts.ts'
import { engineName, type VolumeRow, type VolumeView } from './volume-schema.ts'
import type { VolumeSizes } from './volume-size.ts'
import type { VolumeStore } from './volume-store.ts'
import { createVolumeRestore, type VolumeRestoreDeps } from './volume-restore.ts'

export interface VolumeDeps extends Omit<VolumeRestoreDeps, 'requireVolume'> {
  database: Database
  system: System
  store: VolumeStore
  runtime: Runtime
  mounts: VolumeMounts
  sizes: VolumeSizes
  recordAudit: RecordAudit
  findService: (id: string) => ServiceRow | undefined
  /** The releases of a service that run, are being deployed, or may yet come back. */
  listReleases: (service: ServiceRow) => readonly Pick<DeploymentRow, 'id' | 'config'>[]
}

export type VolumeOperations = ReturnType<typeof createVolumeOperations>

/** The verbs on volumes. */
export function createVolumeOperations(deps: VolumeDeps) {
  const { database, store, runtime, system } = deps

  const requireService = (actor: Actor, permission: Permission, id: string): ServiceRow => {
    const service = deps.findService(id)
    requirePermission(actor, permission, service?.project_id)
    if (!service) throw new AppError('NOT_FOUND')
    return service
  }
  const usedNames = (service: ServiceRow): Set<string> =>
    new Set(
      [service, ...deps.listReleases(service)].flatMap(({ config }) =>
        config.volumes.map(({ name }) => name),
      ),
    )

  /** One that the service names need not be there yet. */
  const requireVolume = (service: ServiceRow, name: string): VolumeRow => {
    const row = store.find(service.id, name)
    if (row) return row
    if (!usedNames(service).has(name)) throw new AppError('NOT_FOUND')
    return deps.mounts.ensureRow(service.id, name)
  }

  const view = (service: ServiceRow, name: string, size_bytes: number | null, lost = false): VolumeView => {
    const row = store.find(service.id, name)
    const named = service.config.volumes.find((volume) => volume.name === name)
    return {
      name,
      mount_path: named?.mount_path ?? null,
      read_only: named?.read_only ?? null,
      in_use: usedNames(service).has(name),
      size_bytes,
      lost,
      created_at: row?.created_at ?? null,
      restored_at: row?.restored_at ?? null,
    }
  }
  const restore = createVolumeRestore({ ...deps, requireVolume })

  return {
    /** The volumes of a service, by name: those that it names, and those that are left of earlier times. */
    listVolumes: async (
      context: Context,
      serviceId: string,
      page: PageRequest,
    ): Promise<Page<VolumeView>> => {
      const service = requireService(context.actor, 'services.read', serviceId)
      const rows = new Map(store.listByService(serviceId).map((row) => [row.name, row]))
      const names = [
        ...new Set([...rows.keys(), ...service.config.volumes.map(({ name }) => name)]),
      ].toSorted()
      const { items, ...rest } = pageOf(
        names.filter((name) => page.after === undefined || name > page.after).slice(0, page.limit + 1),
        page.limit,
        (name) => name,
      )
      const found = await runtime.listVolumes({ [LABELS.kind]: 'volume', [LABELS.service]: serviceId })
      const directories = new Map(found.map(({ name, directory }) => [name, directory]))
      const places = items.map((name) => {
        const row = rows.get(name)
        return (row && directories.get(engineName(row))) ?? null
      })
      const sizes = await deps.sizes.measure(places, service.project_id)
      const isLost = (row: VolumeRow | undefined): boolean =>
        row?.prepared === 1 && !directories.has(engineName(row))
      const views = items.map((name, index) =>
        view(service, name, sizes[index] ?? null, isLost(rows.get(name))),
      )
      return { ...rest, items: views }
    },

    /** The contents of a volume as a tar stream. Audited, because it hands out all that is in it. Throws NOT_FOUND when nothing is there yet. */
    backupVolume: async (
      context: Context,
      serviceId: string,
      name: string,
      signal: AbortSignal,
    ): Promise<{ stream: Readable; file_name: string }> => {
      const service = requireService(context.actor, 'volumes.read', serviceId)
      const row = store.find(serviceId, name)
      if (!row) throw new AppError('NOT_FOUND')
      const letGo = deps.holds.share(engineName(row))
      const stream = await runtime.readVolume(engineName(row), signal).finally(letGo)
      try {
        deps.recordAudit(context, entry('backupVolume', service, name))
      } catch (error) {
        stream.destroy()
        throw error
      }
      const day = system.nowIso().slice(0, 10)
      return { stream, file_name: `${service.name}-${name}-${day}.tar` }
    },

    /**
     * Lets the contents of an archive take the place of a volume's. They are unpacked beside it while the service goes on; then its replicas are
     * replaced by ones that have the new volume, while requests wait: none reaches the old contents any more when this answers. When it throws, nothing has changed; it throws the reason of `signal` when that aborts before the new contents are in their place. Throws CONFLICT while another restore
     * of the volume runs, BUSY while too many of others do, and BAD_ARCHIVE.
     */
    restoreVolume: async (
      context: Context,
      serviceId: string,
      name: string,
      archive: SentArchive,
      signal: AbortSignal,
    ): Promise<VolumeView> => {
      const service = requireService(context.actor, 'volumes.write', serviceId)
      const { entries, bytes } = await restore(context, service, name, archive, signal)
      return { ...view(service, name, null), ...(entries > 0 && { size_bytes: bytes }) }
    },

    /**
     * Removes a volume with all that is in it. Throws IN_USE while the service names it, or a release of it that runs or may come back; not of one
     * that the engine has lost: the next start makes it anew.
     */
    deleteVolume: async (context: Context, serviceId: string, name: string): Promise<void> => {
      const named = usedNames(requireService(context.actor, 'volumes.write', serviceId)).has(name)
      const found = named ? store.find(serviceId, name) : undefined
      const lost = found && (await deps.mounts.isLost(found)) ? engineName(found) : undefined
      database.transact(() => {
        const service = requireService(context.actor, 'volumes.write', serviceId)
        const row = store.find(serviceId, name)
        const isLost = row !== undefined && engineName(row) === lost
        if (usedNames(service).has(name) && !isLost)
          throw new AppError('IN_USE', {
            details: [
              {
                field: 'name',
                message: 'is named by the service or by a release of it that runs or may come back',
              },
            ],
          })
        if (!row) throw new AppError('NOT_FOUND')
        store.addRemoval(engineName(row), system.nowIso())
        store.remove(row.id)
        deps.recordAudit(context, entry('deleteVolume', service, name))
        database.afterCommit(deps.removalsChanged)
      })
    },
  }
}

function entry(action: string, service: ServiceRow, volume: string) {
  return {
    action,
    resource_kind: 'service',
    resource_id: service.id,
    project_id: service.project_id,
    details: { service: service.name, volume },
  }
}
