import type { ContainerInfo } from '../../runtime/runtime.ts'
import { LABELS } from '../../runtime/labels.ts'
import type { DeploymentRow } from '../deployments/deployment-schema.ts'
import type { DesiredState } from '../services/service-schema.ts'
import { containerName } from './container-spec.ts'
import type { ReplicaRow } from './replica-store.ts'

/** What ought to run of one service. */
export interface ReplicaIntent {
  service_id: string
  service_name: string
  desired_state: DesiredState
  replicas: number
  live: DeploymentRow | null
  /** Deployments that are not over. */
  open: readonly Pick<DeploymentRow, 'id' | 'replaces_id'>[]
}

/** One thing to do about one container. */
export type ReplicaAction =
  /** Make and start it. */
  | { kind: 'run'; intent: ReplicaIntent; index: number; row: ReplicaRow | undefined }
  /** It has exited and that is not recorded yet. */
  | {
      kind: 'record_exit'
      intent: ReplicaIntent
      index: number
      row: ReplicaRow | undefined
      container: ContainerInfo
    }
  /** It runs and is not known to be well. */
  | {
      kind: 'probe'
      intent: ReplicaIntent
      index: number
      row: ReplicaRow | undefined
      container: ContainerInfo
    }
  /** It gets requests and ought not to. */
  | { kind: 'begin_drain'; row: ReplicaRow }
  /** It gets no new requests: see whether it has finished the old ones. */
  | { kind: 'end_drain'; row: ReplicaRow }
  /** Nobody wants it, no request can be in it. */
  | { kind: 'remove'; name: string }
  /** Its container is gone and nobody misses it. */
  | { kind: 'forget'; name: string }

export interface ReplicaWorld {
  intents: readonly ReplicaIntent[]
  containers: readonly ContainerInfo[]
  rows: readonly ReplicaRow[]
  /** RFC 3339. */
  now: string
}

/**
 * What closes the gap between what ought to run and what does: a pure function. Containers of a deployment that is under way, and those
 * that it replaces, belong to that deployment and are left alone.
 */
export function planReplicas(world: ReplicaWorld): ReplicaAction[] {
  const containers = new Map(world.containers.map((container) => [container.name, container]))
  const rows = new Map(world.rows.map((row) => [row.container_name, row]))
  const wanted = new Set<string>()
  const actions: ReplicaAction[] = []

  for (const intent of world.intents) {
    const { live } = intent
    if (live === null || intent.desired_state !== 'running') continue
    for (let index = 0; index < intent.replicas; index += 1) {
      const name = containerName(live.id, index)
      wanted.add(name)
      const action = planWanted(intent, index, containers.get(name), rows.get(name), world.now)
      if (action) actions.push(action)
    }
  }
  const underDeployment = deploymentsUnderWay(world.intents)
  for (const container of world.containers) {
    if (wanted.has(container.name) || underDeployment.has(container.labels[LABELS.deployment] ?? '')) continue
    actions.push(planUnwanted(container, rows.get(container.name)))
  }
  for (const row of world.rows) {
    const name = row.container_name
    if (!containers.has(name) && !wanted.has(name) && !underDeployment.has(row.deployment_id))
      actions.push({ kind: 'forget', name })
  }
  return actions
}

function deploymentsUnderWay(intents: readonly ReplicaIntent[]): Set<string> {
  const ids = new Set<string>()
  for (const { open, live } of intents) {
    for (const deployment of open) {
      if (deployment.id !== live?.id) ids.add(deployment.id)
      if (deployment.replaces_id !== null) ids.add(deployment.replaces_id)
    }
  }
  return ids
}

function planWanted(
  intent: ReplicaIntent,
  index: number,
  container: ContainerInfo | undefined,
  row: ReplicaRow | undefined,
  now: string,
): ReplicaAction | undefined {
  const due = row === undefined || row.next_start_at === null || row.next_start_at <= now
  if (!container) return due ? { kind: 'run', intent, index, row } : undefined
  if (container.phase === 'created') return due ? { kind: 'run', intent, index, row } : undefined
  if (container.phase === 'exited') {
    const recorded = row?.status === 'Exited' || row?.status === 'CrashLoop'
    if (!recorded) return { kind: 'record_exit', intent, index, row, container }
    return row.next_start_at !== null && due ? { kind: 'run', intent, index, row } : undefined
  }
  const known =
    row?.status === 'Healthy' &&
    row.address === container.address &&
    (container.started_at ?? '') <= row.updated_at
  return known ? undefined : { kind: 'probe', intent, index, row, container }
}

function planUnwanted(container: ContainerInfo, row: ReplicaRow | undefined): ReplicaAction {
  if (row === undefined || container.phase !== 'running') return { kind: 'remove', name: container.name }
  return row.status === 'Draining' ? { kind: 'end_drain', row } : { kind: 'begin_drain', row }
}
