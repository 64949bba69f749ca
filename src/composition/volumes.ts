import { createWorker } from '../lib/worker.ts'
import { createVolumeHolds } from '../modules/volumes/volume-holds.ts'
import { createVolumeMounts } from '../modules/volumes/volume-mounts.ts'
import { createVolumeOperations } from '../modules/volumes/volume-operations.ts'
import { removeOrphans } from '../modules/volumes/volume-orphans.ts'
import { removeVolumes, removeVolumesOfService } from '../modules/volumes/volume-removal.ts'
import { createVolumeSizes } from '../modules/volumes/volume-size.ts'
import { createVolumeSync } from '../modules/volumes/volume-sync.ts'
import type { Runtime } from '../runtime/runtime.ts'
import type { Access } from './access.ts'
import { type Base, reporter } from './base.ts'

const REMOVE_EVERY_MS = 30_000

/** The volumes of services. */
export function composeVolumes(base: Base, { audit }: Access, runtime: Runtime) {
  const { system, stores, state } = base
  const store = stores.volumes
  const holds = createVolumeHolds()
  const hasService = (id: string): boolean => stores.services.findAny(id) !== undefined
  const nameOf = (serviceId: string): string => {
    const service = stores.services.findAny(serviceId)
    return `${stores.projects.find(service?.project_id ?? '')?.name}/${service?.name}`
  }
  const mounts = createVolumeMounts({ database: state.database, system, store, runtime, holds, nameOf })
  const worker = createWorker({
    name: 'volumes',
    system,
    everyMs: REMOVE_EVERY_MS,
    run: async (signal) => {
      try {
        await removeVolumes({ runtime, store, holds }, signal)
      } finally {
        await removeOrphans({ runtime, holds, hasService }, signal)
      }
    },
    onError: reporter(base, 'volumes'),
  })
  return {
    mounts,
    worker,
    removeOfService: (serviceId: string) => removeVolumesOfService({ runtime, holds, mounts }, serviceId),
    operationsFor: (around: {
      requireRoom: (bytes: number) => Promise<void>
      replicasRetired: () => Promise<void>
    }) =>
      createVolumeOperations({
        ...around,
        database: state.database,
        system,
        store,
        runtime,
        mounts,
        holds,
        syncVolume: createVolumeSync(runtime),
        sizes: createVolumeSizes(system),
        recordAudit: audit.record,
        findService: stores.services.find,
        listReleases: ({ id }) => stores.deployments.listInUse(id),
        retireReplicas: (deploymentId) => void stores.replicas.markDraining(deploymentId, system.nowIso()),
        removalsChanged: worker.nudge,
      }),
  }
}
