import type { Database } from '../../store/database.ts'
import type { UploadRow } from './upload-schema.ts'

export type UploadStore = ReturnType<typeof createUploadStore>

/** SQL of uploads. */
export function createUploadStore(database: Database) {
  return {
    insert(upload: Omit<UploadRow, 'deployment_id'>): void {
      database.run(
        `INSERT INTO uploads (id, service_id, format, size_bytes, unpacked_bytes, entries, sha256, created_by, created_at, expires_at)
         VALUES ($id, $service_id, $format, $size_bytes, $unpacked_bytes, $entries, $sha256, $created_by, $created_at, $expires_at)`,
        { ...upload },
      )
    },

    find: (id: string) => database.get<UploadRow>('SELECT * FROM uploads WHERE id = $id', { id }),

    /** Gives a fresh upload to a deployment; false when another one has it or it has expired. */
    take: (id: string, deploymentId: string, now: string): boolean =>
      database.run(
        `UPDATE uploads SET deployment_id = $deploymentId
         WHERE id = $id AND (deployment_id = $deploymentId OR (deployment_id IS NULL AND expires_at > $now))`,
        { id, deploymentId, now },
      ) === 1,

    /** Those that nothing took in time, and those that were taken, oldest first. */
    listDue: (now: string) =>
      database.all<UploadRow>(
        'SELECT * FROM uploads WHERE deployment_id IS NOT NULL OR expires_at <= $now ORDER BY id LIMIT 1000',
        { now },
      ),

    remove: (id: string) => database.run('DELETE FROM uploads WHERE id = $id', { id }),

    removeOfService: (serviceId: string) =>
      database.run('DELETE FROM uploads WHERE service_id = $serviceId', { serviceId }),
  }
}
