import { diskFullOf } from '../../lib/disk-trouble.ts'
import type { Database } from '../../store/database.ts'
import type { ReplicaRow } from './replica-schema.ts'

export type ReplicaStore = ReturnType<typeof createReplicaStore>

/**
 * SQL of replicas. What is seen of them is so whether or not the disk has room for it, so `keep` remembers what cannot be written, and every answer of
 * this store goes by it; `onUnwritten` is told why.
 */
export function createReplicaStore(database: Database, onUnwritten: (error: unknown) => void) {
  const unwritten = new Map<string, ReplicaRow>()

  const withUnwritten = (
    rows: ReplicaRow[],
    belongs: (row: ReplicaRow) => boolean,
    compare: (one: ReplicaRow, other: ReplicaRow) => number,
  ): ReplicaRow[] => {
    if (unwritten.size === 0) return rows
    const written = rows.filter(({ container_name }) => !unwritten.has(container_name))
    return [...written, ...[...unwritten.values()].filter(belongs)].toSorted(compare)
  }

  /** Replicas of the releases that these services name in a column. */
  const listOfReleases = (
    column: 'live_deployment_id' | 'canary_deployment_id',
    serviceIds: readonly string[],
  ): ReplicaRow[] => {
    const ids = JSON.stringify(serviceIds)
    const rows = database.all<ReplicaRow>(
      `SELECT replicas.* FROM replicas JOIN services ON services.${column} = replicas.deployment_id
       WHERE services.id IN (SELECT value FROM json_each($ids))`,
      { ids },
    )
    if (unwritten.size === 0) return rows
    const named = database.all<{ id: string | null }>(
      `SELECT ${column} AS id FROM services WHERE id IN (SELECT value FROM json_each($ids))`,
      { ids },
    )
    const releases = new Set(named.map(({ id }) => id))
    return withUnwritten(rows, ({ deployment_id }) => releases.has(deployment_id), byName)
  }

  const save = (replica: ReplicaRow): void => {
    database.run(
      `INSERT INTO replicas (container_name, service_id, deployment_id, replica_index, status, address, restarts, reason, next_start_at, updated_at)
       VALUES ($container_name, $service_id, $deployment_id, $replica_index, $status, $address, $restarts, $reason, $next_start_at, $updated_at)
       ON CONFLICT (container_name) DO UPDATE SET status = $status, address = $address, restarts = $restarts, reason = $reason,
         next_start_at = $next_start_at, updated_at = $updated_at`,
      { ...replica },
    )
    database.afterCommit(() => unwritten.delete(replica.container_name))
  }

  return {
    listAll: () =>
      withUnwritten(
        database.all<ReplicaRow>('SELECT * FROM replicas ORDER BY container_name'),
        () => true,
        byName,
      ),

    listByDeployment: (deploymentId: string) =>
      withUnwritten(
        database.all<ReplicaRow>(
          'SELECT * FROM replicas WHERE deployment_id = $deploymentId ORDER BY replica_index',
          { deploymentId },
        ),
        (row) => row.deployment_id === deploymentId,
        (one, other) => one.replica_index - other.replica_index,
      ),

    listByService: (serviceId: string) =>
      withUnwritten(
        database.all<ReplicaRow>(
          'SELECT * FROM replicas WHERE service_id = $serviceId ORDER BY container_name',
          { serviceId },
        ),
        (row) => row.service_id === serviceId,
        byName,
      ),

    /** Replicas of the live releases of these services, without those on their way out. */
    listLive: (serviceIds: readonly string[]) =>
      listOfReleases('live_deployment_id', serviceIds).filter(({ status }) => status !== 'Draining'),

    /** How many replicas of their canary these services have that are well. */
    countHealthyCanaries: (serviceIds: readonly string[]): Map<string, number> => {
      const counts = new Map<string, number>()
      for (const { service_id, status } of listOfReleases('canary_deployment_id', serviceIds))
        if (status === 'Healthy') counts.set(service_id, (counts.get(service_id) ?? 0) + 1)
      return counts
    },

    find: (containerName: string) =>
      unwritten.get(containerName) ??
      database.get<ReplicaRow>('SELECT * FROM replicas WHERE container_name = $containerName', {
        containerName,
      }),

    /** Adds or replaces what is known of a replica, or throws; for transactions. */
    save,

    /** The same of what was seen, outside of transactions: where the disk has no room it is remembered, and written by `settle`. */
    keep(replica: ReplicaRow): void {
      try {
        save(replica)
      } catch (error) {
        if (diskFullOf(error) === undefined) throw error
        unwritten.set(replica.container_name, { ...replica })
        onUnwritten(error)
      }
    },

    /** Writes what is only remembered, as far as it can be. Never throws. */
    settle(): void {
      for (const row of unwritten.values()) {
        try {
          save(row)
        } catch (error) {
          onUnwritten(error)
          if (diskFullOf(error) !== undefined) return
          // Its service may be gone: then nobody asks for it any more.
          unwritten.delete(row.container_name)
        }
      }
    },

    /** Takes the replicas of a release out of the routes. */
    markDraining: (deploymentId: string, now: string) => {
      const changed = database.run(
        `UPDATE replicas SET status = 'Draining', updated_at = $now WHERE deployment_id = $deploymentId AND status <> 'Draining'`,
        { deploymentId, now },
      )
      database.afterCommit(() => {
        for (const [name, row] of unwritten) if (row.deployment_id === deploymentId) unwritten.delete(name)
      })
      return changed
    },

    remove: (containerName: string) => {
      const removed = database.run('DELETE FROM replicas WHERE container_name = $containerName', {
        containerName,
      })
      database.afterCommit(() => unwritten.delete(containerName))
      return removed
    },
  }
}

function byName(one: ReplicaRow, other: ReplicaRow): number {
  if (one.container_name === other.container_name) return 0
  return one.container_name < other.container_name ? -1 : 1
}
