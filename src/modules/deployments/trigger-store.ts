import type { Database } from '../../store/database.ts'

/** SQL of what made deployments happen. */
export function createTriggerStore(database: Database) {
  return {
    /** The deployment of a service that this delivery or event led to. */
    findTriggered: (serviceId: string, triggerId: string): string | undefined =>
      database.get<{ id: string }>(
        `SELECT id FROM deployments WHERE service_id = $serviceId AND json_extract("trigger", '$.id') = $triggerId LIMIT 1`,
        { serviceId, triggerId },
      )?.id,
  }
}
