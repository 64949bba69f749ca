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
