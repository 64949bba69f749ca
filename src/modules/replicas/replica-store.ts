import type { Database } from '../../store/database.ts'

export const REPLICA_STATES = ['Starting', 'Healthy', 'Unhealthy', 'CrashLoop', 'Exited', 'Draining'] as const
export type ReplicaState = (typeof REPLICA_STATES)[number]

/** What is known of one container that ought to run, or is on its way out. */
export interface ReplicaRow {
  container_name: string
  service_id: string
  deployment_id: string
  replica_index: number
  status: ReplicaState
  address: string | null
  /** Since it was last well for long. */
  restarts: number
  reason: string | null
  next_start_at: string | null
  updated_at: string
}

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
        { serviceId },
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

    removeByDeployment: (deploymentId: string) =>
      database.run('DELETE FROM replicas WHERE deployment_id = $deploymentId', { deploymentId }),
  }
}
