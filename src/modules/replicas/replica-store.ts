import type { Database } from '../../store/database.ts'
import type { ReplicaRow } from './replica-schema.ts'

export type ReplicaStore = ReturnType<typeof createReplicaStore>

/** SQL of replicas. */
export function createReplicaStore(database: Database) {
  return {
    listAll: () => database.all<ReplicaRow>('SELECT * FROM replicas ORDER BY container_name'),

    listByDeployment: (deploymentId: string) =>
      database.all<ReplicaRow>(
        'SELECT * FROM replicas WHERE deployment_id = $deploymentId ORDER BY replica_index',
        {
          deploymentId,
        },
      ),

    listByService: (serviceId: string) =>
      database.all<ReplicaRow>(
        'SELECT * FROM replicas WHERE service_id = $serviceId ORDER BY container_name',
        {
          serviceId,
        },
      ),

    /** Replicas of the live releases of these services, without those on their way out. */
    listLive: (serviceIds: readonly string[]) =>
      database.all<ReplicaRow>(
        `SELECT replicas.* FROM replicas JOIN services ON services.live_deployment_id = replicas.deployment_id
         WHERE services.id IN (SELECT value FROM json_each($ids)) AND replicas.status <> 'Draining'`,
        { ids: JSON.stringify(serviceIds) },
      ),

    /** How many replicas of their canary these services have that are well. */
    countHealthyCanaries: (serviceIds: readonly string[]): Map<string, number> =>
      new Map(
        database
          .all<{ id: string; count: number }>(
            `SELECT services.id, count(*) AS count FROM replicas JOIN services ON services.canary_deployment_id = replicas.deployment_id
             WHERE services.id IN (SELECT value FROM json_each($ids)) AND replicas.status = 'Healthy' GROUP BY services.id`,
            { ids: JSON.stringify(serviceIds) },
          )
          .map(({ id, count }) => [id, count]),
      ),

    find: (containerName: string) =>
      database.get<ReplicaRow>('SELECT * FROM replicas WHERE container_name = $containerName', {
        containerName,
      }),

    /** Adds or replaces what is known of a replica. */
    save(replica: ReplicaRow): void {
      database.run(
        `INSERT INTO replicas (container_name, service_id, deployment_id, replica_index, status, address, restarts, reason, next_start_at, updated_at)
         VALUES ($container_name, $service_id, $deployment_id, $replica_index, $status, $address, $restarts, $reason, $next_start_at, $updated_at)
         ON CONFLICT (container_name) DO UPDATE SET status = $status, address = $address, restarts = $restarts, reason = $reason,
           next_start_at = $next_start_at, updated_at = $updated_at`,
        { ...replica },
      )
    },

    /** Takes the replicas of a release out of the routes. */
    markDraining: (deploymentId: string, now: string) =>
      database.run(
        `UPDATE replicas SET status = 'Draining', updated_at = $now WHERE deployment_id = $deploymentId AND status <> 'Draining'`,
        { deploymentId, now },
      ),

    remove: (containerName: string) =>
      database.run('DELETE FROM replicas WHERE container_name = $containerName', { containerName }),
  }
}
