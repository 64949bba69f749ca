import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import type { Test } from 'tap'
import { packArchive } from '../../../src/lib/archive-pack.ts'
import { createSystem } from '../../../src/lib/system.ts'
import { createVolumeHolds } from '../../../src/modules/volumes/volume-holds.ts'
import { createVolumeMounts } from '../../../src/modules/volumes/volume-mounts.ts'
import { createVolumeOperations } from '../../../src/modules/volumes/volume-operations.ts'
import { removeOrphans } from '../../../src/modules/volumes/volume-orphans.ts'
import { removeVolumes, removeVolumesOfService } from '../../../src/modules/volumes/volume-removal.ts'
import { engineName } from '../../../src/modules/volumes/volume-schema.ts'
import { createVolumeStore } from '../../../src/modules/volumes/volume-store.ts'
import { createFakeRuntime } from '../../../src/runtime/fake-runtime.ts'
import { OPERATOR } from '../../support/delivery.ts'
import { openRows } from '../deployments/deployment-rows.ts'
import { deployment } from '../replicas/replica-rows.ts'

export const never = new AbortController().signal

export const tarOf = (text: string): Promise<Buffer> =>
  buffer(packArchive([{ kind: 'file', name: 'file', mode: 0o644, content: Buffer.from(text) }]))

/** What volumes are made of, without a daemon: each step is the test's to take. The service `web` names one, `data`. */
export function openVolumes(t: Test, names: readonly string[] = ['data']) {
  const system = createSystem()
  const { database, services } = openRows(t)
  const { runtime, controls, engine } = createFakeRuntime({ system, nodeId: 'node' })
  const store = createVolumeStore(database)
  const holds = createVolumeHolds()
  const mounts = createVolumeMounts({ database, system, store, runtime, holds, nameOf: (id) => `shop/${id}` })
  const config = {
    ...deployment('any').config,
    volumes: names.map((name) => ({ name, mount_path: `/${name}`, read_only: false })),
  }
  const disk = { sync: async (_name: string): Promise<void> => {} }
  const audit = { record: (): void => {} }
  const operations = createVolumeOperations({
    database,
    system,
    store,
    runtime,
    mounts,
    holds,
    sizes: { measure: async (directories) => directories.map(() => null) },
    syncVolume: (name) => disk.sync(name),
    recordAudit: () => audit.record(),
    findService: (id) => {
      const found = services.find(id)
      return found && { ...found, config }
    },
    listReleases: () => [],
    requireRoom: async () => {},
    retireReplicas: () => {},
    replicasRetired: async () => {},
    removalsChanged: () => {},
  })
  const row = mounts.ensureRow('web', 'data')
  return {
    runtime,
    controls,
    store,
    disk,
    audit,
    mounts,
    operations,
    volumes: engine.volumes,
    /** The name in the engine of the n-th generation of `data`. */
    nameOf: (generation: number): string => engineName({ ...row, generation }),
    find: () => store.find('web', 'data'),
    start: (use: () => Promise<void> = async () => {}) =>
      mounts.startAlone({ ...deployment('first'), service_id: 'web', config }, () => true, use),
    restore: async (text: string, name = 'data') =>
      operations.restoreVolume(
        OPERATOR,
        'web',
        name,
        { format: 'tar', stream: Readable.from([await tarOf(text)], { objectMode: false }) },
        never,
      ),
    /** One run of the worker. */
    remove: () => removeVolumes({ runtime, store, holds }, never),
    /** Its other part. */
    removeOrphans: () =>
      removeOrphans({ runtime, holds, hasService: (id) => services.findAny(id) !== undefined }, never),
    /** What the deletion of the service does. */
    removeOfService: () => removeVolumesOfService({ runtime, holds, mounts }, 'web'),
  }
}
