import type { Database } from '../../store/database.ts'
import type { VolumeRow } from './volume-schema.ts'

export type VolumeStore = ReturnType<typeof createVolumeStore>

/** SQL of volumes. */
export function createVolumeStore(database: Database) {
  return {
    insert: (row: VolumeRow): void => {
      database.run(
        `INSERT INTO volumes (id, service_id, name, generation, created_at, restored_at, prepared)
         VALUES ($id, $service_id, $name, $generation, $created_at, $restored_at, $prepared)`,
        { ...row },
      )
    },

    find: (serviceId: string, name: string) =>
      database.get<VolumeRow>('SELECT * FROM volumes WHERE service_id = $serviceId AND name = $name', {
        serviceId,
        name,
      }),

    /** The volumes of a service, by name. */
    listByService: (serviceId: string) =>
      database.all<VolumeRow>('SELECT * FROM volumes WHERE service_id = $serviceId ORDER BY name', {
        serviceId,
      }),

    /** Lets the next generation take the place of this one; false when that happened or the volume is gone. */
    advance: (id: string, generation: number, now: string): boolean =>
      database.run(
        `UPDATE volumes SET generation = generation + 1, restored_at = $now, prepared = 1 WHERE id = $id AND generation = $generation`,
        { id, generation, now },
      ) === 1,

    setPrepared: (id: string): void => {
      database.run('UPDATE volumes SET prepared = 1 WHERE id = $id', { id })
    },

    remove: (id: string): boolean => database.run('DELETE FROM volumes WHERE id = $id', { id }) === 1,

    /** Records that a volume of the engine is to go. */
    addRemoval: (engine_name: string, now: string): void => {
      database.run(
        'INSERT OR IGNORE INTO volume_removals (engine_name, created_at) VALUES ($engine_name, $now)',
        { engine_name, now },
      )
    },

    dropRemoval: (engine_name: string): void => {
      database.run('DELETE FROM volume_removals WHERE engine_name = $engine_name', { engine_name })
    },

    isToBeRemoved: (engine_name: string): boolean =>
      database.get('SELECT 1 FROM volume_removals WHERE engine_name = $engine_name', { engine_name }) !==
      undefined,

    /** Names in the engine of what is to go, oldest first. */
    listRemovals: (): string[] =>
      database
        .all<{ engine_name: string }>(
          'SELECT engine_name FROM volume_removals ORDER BY created_at, engine_name',
        )
        .map(({ engine_name }) => engine_name),
  }
}
