import { createKeyedTurns } from '../../lib/keyed-turns.ts'
import type { System } from '../../lib/system.ts'
import { LABELS } from '../../runtime/labels.ts'
import type { ContainerInfo, MountSpec, Runtime } from '../../runtime/runtime.ts'
import type { Database } from '../../store/database.ts'
import type { DeploymentRow } from '../deployments/deployment-schema.ts'
import { mountsLabel } from '../replicas/container-spec.ts'
import { writesVolumes } from '../services/service-schema.ts'
import type { LetGo, VolumeHolds } from './volume-holds.ts'
import { prepareVolume } from './volume-preparation.ts'
import { engineName, VolumeLost, type VolumeRow } from './volume-schema.ts'
import type { VolumeStore } from './volume-store.ts'

export interface VolumeMountsDeps {
  database: Database
  system: System
  store: VolumeStore
  runtime: Runtime
  holds: VolumeHolds
  /** What people know a service by, `shop/db`. */
  nameOf: (serviceId: string) => string
}

type Release = Pick<DeploymentRow, 'id' | 'service_id' | 'project_id' | 'config'>

/** What the label `berth.mounts` of a release's replicas says, were they made now; empty without volumes. */
export function expectedMounts(
  store: Pick<VolumeStore, 'listByService'>,
  { service_id, config }: Pick<Release, 'service_id' | 'config'>,
): string {
  if (config.volumes.length === 0) return ''
  const rows = new Map(store.listByService(service_id).map((row) => [row.name, row]))
  const known = config.volumes.flatMap(({ name }) => rows.get(name) ?? [])
  return mountsLabel(known.map((row) => ({ volume: engineName(row) })))
}

export type VolumeMounts = ReturnType<typeof createVolumeMounts>

/**
 * The volumes of replicas, and who may start with them: whatever starts a replica that writes into a volume does so in a turn of its service,
 * in which nobody else of the service runs with one of them.
 */
export function createVolumeMounts(deps: VolumeMountsDeps) {
  const { database, system, store, runtime } = deps
  const turns = createKeyedTurns()

  const ensureRow = (serviceId: string, name: string): VolumeRow =>
    database.transact(() => {
      const found = store.find(serviceId, name)
      if (found) return found
      const row: VolumeRow = {
        id: system.newId(),
        service_id: serviceId,
        name,
        generation: 1,
        created_at: system.nowIso(),
        restored_at: null,
        prepared: 0,
      }
      store.insert(row)
      return row
    })

  const ensureVolume = (row: VolumeRow, projectId: string, generation = row.generation): Promise<boolean> =>
    runtime.ensureVolume({
      name: engineName({ ...row, generation }),
      labels: {
        [LABELS.kind]: 'volume',
        [LABELS.project]: projectId,
        [LABELS.service]: row.service_id,
        [LABELS.volume]: row.name,
      },
    })

  /** Asked before anything is made: an empty one that a crash left in its place would be taken for it. */
  const isLost = async (row: VolumeRow): Promise<boolean> => {
    if (row.prepared === 0) return false
    const found = await runtime.listVolumes({ [LABELS.kind]: 'volume', [LABELS.service]: row.service_id })
    return !found.some(({ name }) => name === engineName(row))
  }

  const ensureMounts = async (
    { service_id, project_id, config }: Release,
    held: LetGo[],
  ): Promise<MountSpec[]> => {
    const mounts: MountSpec[] = []
    for (const { name, mount_path, read_only } of config.volumes) {
      const row = ensureRow(service_id, name)
      held.push(deps.holds.share(engineName(row)))
      if (await isLost(row)) throw new VolumeLost(name, deps.nameOf(service_id))
      if (row.prepared === 0) {
        const isNew = await ensureVolume(row, project_id)
        await prepareVolume(runtime, engineName(row), { isNew, now: system.now() })
        store.setPrepared(row.id)
      }
      mounts.push({ volume: engineName(row), path: mount_path, read_only })
    }
    return mounts
  }

  /** Until a container has them, nobody removes the volumes: a restore may take their place meanwhile. */
  const startWithMounts = async (
    release: Release,
    start: (mounts: readonly MountSpec[]) => Promise<void>,
  ): Promise<void> => {
    const held: LetGo[] = []
    try {
      await start(await ensureMounts(release, held))
    } finally {
      for (const letGo of held) letGo()
    }
  }

  /** Containers of other releases of the service that have volumes. */
  const listRivals = async (release: Release): Promise<ContainerInfo[]> => {
    const found = await runtime.listContainers({
      [LABELS.kind]: 'replica',
      [LABELS.service]: release.service_id,
    })
    return found.filter(
      ({ labels }) => labels[LABELS.deployment] !== release.id && (labels[LABELS.mounts] ?? '') !== '',
    )
  }

  return {
    ensureRow,
    ensureVolume,

    /** Whether the engine does not have a volume any more that programs may have written into. */
    isLost,

    /** Throws VolumeLost when a volume that a release names is. */
    requireNoneLost: async ({
      service_id,
      config,
    }: Pick<Release, 'service_id' | 'config'>): Promise<void> => {
      for (const { name } of config.volumes) {
        const row = store.find(service_id, name)
        if (row && (await isLost(row))) throw new VolumeLost(name, deps.nameOf(service_id))
      }
    },

    /** When one of the volumes that a release names was last restored (RFC 3339); null: never. */
    lastRestoreOf: ({ service_id, config }: Pick<Release, 'service_id' | 'config'>): string | null => {
      if (config.volumes.length === 0) return null
      const named = new Set(config.volumes.map(({ name }) => name))
      const instants = store
        .listByService(service_id)
        .flatMap(({ name, restored_at }) => (named.has(name) && restored_at !== null ? [restored_at] : []))
      return instants.toSorted().at(-1) ?? null
    },

    /** Does something while no replica of a service that has volumes is started. */
    inTurn: <T>(serviceId: string, work: () => Promise<T>): Promise<T> => turns.take(serviceId, work),

    /**
     * Starts a replica with its volumes, unless it writes into one and a container of another release is there: then it answers false and nothing
     * was started. Throws VolumeLost. `mayStart` is asked once nobody else can start any more. One that has ended is in the way, too: a start that was asked of the
     * engine and not answered may still come.
     */
    startAlone: async (
      release: Release,
      mayStart: () => boolean,
      start: (mounts: readonly MountSpec[]) => Promise<void>,
    ): Promise<boolean> => {
      if (release.config.volumes.length === 0) return start([]).then(() => true)
      return turns.take(release.service_id, async () => {
        if (!mayStart()) return false
        if (writesVolumes(release.config) && (await listRivals(release)).length > 0) return false
        await startWithMounts(release, start)
        return true
      })
    },

    /** Lets `leave` take away each container of another release that has volumes of the service, then starts. Throws VolumeLost. */
    takeOver: (
      release: Release,
      leave: (rival: ContainerInfo) => Promise<void>,
      start: (mounts: readonly MountSpec[]) => Promise<void>,
    ): Promise<void> =>
      turns.take(release.service_id, async () => {
        for (const rival of await listRivals(release)) await leave(rival)
        await startWithMounts(release, start)
      }),
  }
}
