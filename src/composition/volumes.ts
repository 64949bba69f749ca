import { createWorker } from '../lib/worker.ts'
import { createVolumeMounts } from '../modules/volumes/volume-mounts.ts'
import { createVolumeOperations } from '../modules/volumes/volume-operations.ts'
import { removeVolumes } from '../modules/volumes/volume-removal.ts'
import { createVolumeSizes } from '../modules/volumes/volume-size.ts'
import type { Runtime } from '../runtime/runtime.ts'
import type { Access } from './access.ts'
import { type Base, reporter } from './base.ts'

const REMOVE_EVERY_MS = 30_000

/** The volumes of services. */
export function composeVolumes(base: Base, { audit }: Access, runtime: Runtime) {
  const { system, stores, state } = base
  const store = stores.volumes
  const filling = new Set<string>()
  const mounts = createVolumeMounts({ database: state.database, system, store, runtime })
  const worker = createWorker({
    name: 'volumes',
    system,
    everyMs: REMOVE_EVERY_MS,
    run: (signal) => removeVolumes({ runtime, store, filling }, signal),
    onError: reporter(base, 'volumes'),
  })
  return {
    mounts,
    worker,
    operationsFor: (around: { requireRoom: (bytes: number) => Promise<void>; serviceChanged: () => void }) =>
      createVolumeOperations({
        ...around,
        database: state.database,
        system,
        store,
        runtime,
        mounts,
        filling,
        sizes: createVolumeSizes(system),
        recordAudit: audit.record,
        findService: stores.services.find,
        listReleases: (service) => {
          const live = stores.deployments.find(service.live_deployment_id ?? '')
          return [...(live ? [live] : []), ...stores.deployments.listOpenOfService(service.id)]
        },
        removalsChanged: worker.nudge,
      }),
  }
}
