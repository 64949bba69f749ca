import type { System } from '../../lib/system.ts'
import { LONGEST_BACKOFF_MS, type WantedReplica } from './replica-plan.ts'
import type { ReplicaRow, ReplicaState } from './replica-schema.ts'
import type { ReplicaStore } from './replica-store.ts'

export interface ReplicaRecordDeps {
  system: System
  store: ReplicaStore
  /** Called after a row changed that routes follow from. */
  routesChanged: () => void
}

const FIRST_BACKOFF_MS = 1_000
/** From this many restarts on it is called a crash loop. */
const CRASH_LOOP_RESTARTS = 3
/** A replica that was well for this long starts counting anew. */
const SETTLED_MS = 10 * 60_000

export type Wanted = WantedReplica & { name: string }
export type ReplicaRecords = ReturnType<typeof createReplicaRecords>

/** What is written down of replicas that ought to run. */
export function createReplicaRecords({ system, store, routesChanged }: ReplicaRecordDeps) {
  const save = (row: ReplicaRow): void => {
    const before = routedAddress(store.find(row.container_name))
    store.keep(row)
    if (routedAddress(row) !== before) routesChanged()
  }

  return {
    save,

    /** What is known of it, or what there is to know of a new one. */
    rowOf: ({ name, intent, release, index, row }: Wanted): ReplicaRow => ({
      container_name: name,
      service_id: intent.service_id,
      deployment_id: release.id,
      replica_index: index,
      status: 'Starting',
      address: null,
      restarts: 0,
      reason: null,
      next_start_at: null,
      ...row,
      updated_at: system.nowIso(),
    }),

    /** Whether nobody else has changed it while we waited for something: a deployment may have replaced it. */
    isStill: (name: string, status: ReplicaState | undefined): boolean => store.find(name)?.status === status,

    /** How often it was restarted, as far as that still counts. */
    restartsOf: (row: ReplicaRow): number => {
      const settled = row.status === 'Healthy' && system.now() - Date.parse(row.updated_at) > SETTLED_MS
      return settled ? 0 : row.restarts
    },

    /** It is to be started again, the later the more often that happened. */
    saveBackoff: (row: ReplicaRow, reason: string): void => {
      const restarts = row.restarts + 1
      const delay = Math.min(LONGEST_BACKOFF_MS, FIRST_BACKOFF_MS * 2 ** Math.min(row.restarts, 20))
      save({
        ...row,
        status: restarts >= CRASH_LOOP_RESTARTS ? 'CrashLoop' : 'Exited',
        address: null,
        restarts,
        reason,
        next_start_at: new Date(system.now() + delay).toISOString(),
      })
    },

    /** It gets no requests. What is draining stays so: it may still have some. */
    noteUnhealthy: (row: ReplicaRow, reason: string): void => {
      if (row.status === 'Draining' || (row.status === 'Unhealthy' && row.reason === reason)) return
      save({ ...row, status: 'Unhealthy', address: null, reason })
    },
  }
}

function routedAddress(row: ReplicaRow | undefined): string | null {
  return row?.status === 'Healthy' ? row.address : null
}
