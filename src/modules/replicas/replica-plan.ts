import { CLOCK_SLACK_MS, isDue } from '../../lib/not-before.ts'
import type { ContainerInfo } from '../../runtime/runtime.ts'
import { LABELS } from '../../runtime/labels.ts'
import type { DeploymentRow } from '../deployments/deployment-schema.ts'
import type { DesiredState } from '../services/service-schema.ts'
import { containerName } from './container-spec.ts'
import type { ReplicaRow } from './replica-schema.ts'

/** How long one that keeps exiting waits at most until it is started again. */
export const LONGEST_BACKOFF_MS = 5 * 60_000

/** What ought to run of one service. */
export interface ReplicaIntent {
  service_id: string
  service_name: string
  desired_state: DesiredState
  replicas: number
  live: DeploymentRow | null
  /** What runs beside it for a share of the requests. It has no volumes. */
  canary: { release: DeploymentRow; replicas: number } | null
  /** Deployments that are not over. */
  open: readonly Pick<DeploymentRow, 'id' | 'replaces_id' | 'stop_first_at'>[]
  /** Which volumes replicas of the live release are to have, as their label says it. */
  mounts: string
}

/** A replica of the live release, or of the canary, that ought to run. */
export interface WantedReplica {
  intent: ReplicaIntent
  release: DeploymentRow
  index: number
  /** What is known of it. */
  row: ReplicaRow | undefined
}

/** One thing to do about the container `name`. */
export type ReplicaAction = { name: string } & (
  | ({ kind: 'run' } & WantedReplica)
  /** It has exited and that is not recorded yet. */
  | ({ kind: 'record_exit' } & WantedReplica)
  /** It runs and is not known to be well. */
  | ({ kind: 'probe'; container: ContainerInfo } & WantedReplica)
  /** It is well: see whether it still is. */
  | ({ kind: 'watch'; container: ContainerInfo } & WantedReplica)
  /** It gets requests and ought not to. */
  | { kind: 'begin_drain'; row: ReplicaRow }
  /** It gets no new requests: see whether it has finished the old ones. */
  | { kind: 'end_drain'; row: ReplicaRow }
  /** Nobody wants it, no request can be in it. */
  | { kind: 'remove'; deployment_id: string }
  /** Its container is gone and nobody misses it. */
  | { kind: 'forget' }
)

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
    for (const { release, index } of wantedOf(intent)) {
      const name = containerName(release.id, index)
      // It has a volume that another one took the place of.
      if (release === intent.live && hasOldVolumes(containers.get(name), intent)) continue
      wanted.add(name)
      const replica = { name, intent, release, index, row: rows.get(name) }
      const action = planWanted(replica, containers.get(name), world.now)
      if (action) actions.push(action)
    }
  }
  const underDeployment = deploymentsUnderWay(world.intents)
  for (const container of world.containers) {
    const deploymentId = container.labels[LABELS.deployment] ?? ''
    if (wanted.has(container.name) || underDeployment.has(deploymentId)) continue
    actions.push(planUnwanted(container, deploymentId, rows.get(container.name)))
  }
  for (const row of world.rows) {
    const name = row.container_name
    if (!containers.has(name) && !wanted.has(name) && !underDeployment.has(row.deployment_id))
      actions.push({ kind: 'forget', name })
  }
  return actions
}

function wantedOf(intent: ReplicaIntent): { release: DeploymentRow; index: number }[] {
  const { live, canary } = intent
  if (live === null || intent.desired_state !== 'running') return []
  const indexes = (release: DeploymentRow, count: number) =>
    Array.from({ length: count }, (_, index) => ({ release, index }))
  return [
    ...(isTakenOver(intent) ? [] : indexes(live, intent.replicas)),
    ...(canary === null ? [] : indexes(canary.release, canary.replicas)),
  ]
}

function deploymentsUnderWay(intents: readonly ReplicaIntent[]): Set<string> {
  const ids = new Set<string>()
  for (const { open, live } of intents) {
    for (const deployment of open) {
      if (live !== null && isTakenOver({ open, live })) ids.add(live.id)
      if (deployment.id !== live?.id) ids.add(deployment.id)
      if (deployment.replaces_id !== null) ids.add(deployment.replaces_id)
    }
  }
  return ids
}

/** A deployment has begun to stop the live release before it starts its own replicas. */
export function isTakenOver({ open, live }: Pick<ReplicaIntent, 'open' | 'live'>): boolean {
  return open.some((deployment) => deployment.stop_first_at !== null && deployment.id !== live?.id)
}

function hasOldVolumes(container: ContainerInfo | undefined, { mounts }: ReplicaIntent): boolean {
  return container !== undefined && (container.labels[LABELS.mounts] ?? '') !== mounts
}

function planWanted(
  replica: WantedReplica & { name: string },
  container: ContainerInfo | undefined,
  now: string,
): ReplicaAction | undefined {
  const { row } = replica
  const due = row === undefined || isDue(row.next_start_at, now, LONGEST_BACKOFF_MS)
  if (!container || container.phase === 'created') return due ? { kind: 'run', ...replica } : undefined
  if (container.phase === 'exited') {
    const recorded = row?.status === 'Exited' || row?.status === 'CrashLoop'
    if (!recorded) return { kind: 'record_exit', ...replica }
    return row.next_start_at !== null && due ? { kind: 'run', ...replica } : undefined
  }
  if (!isKnownWell(row, container)) return { kind: 'probe', container, ...replica }
  const { health_check: check, internal_port: port } = replica.release.config
  return port !== null && check.live_interval_seconds > 0
    ? { kind: 'watch', container, ...replica }
    : undefined
}

/** It was well since its present start, where it is now. */
function isKnownWell(row: ReplicaRow | undefined, container: ContainerInfo): boolean {
  return (
    row?.status === 'Healthy' &&
    row.address === container.address &&
    (container.started_at ?? '') <= row.updated_at
  )
}

/** Replicas that get requests although their container is gone, elsewhere, or started anew since it was well. */
export function planDistrust(
  rows: readonly ReplicaRow[],
  containers: readonly ContainerInfo[],
): ReplicaRow[] {
  const running = new Map(
    containers.filter(({ phase }) => phase === 'running').map((container) => [container.name, container]),
  )
  return rows.filter((row) => {
    const container = running.get(row.container_name)
    return row.status === 'Healthy' && (!container || !isKnownWell(row, container))
  })
}

/**
 * How long a container has been running. For ever when it says that it began later than now: it did so before the clock was set back, and nobody knows
 * when.
 */
export function runningMs({ started_at }: Pick<ContainerInfo, 'started_at'>, nowMs: number): number {
  const ms = nowMs - Date.parse(started_at ?? '')
  return ms < -CLOCK_SLACK_MS ? Number.POSITIVE_INFINITY : ms
}

/** When a container was found well: never before it started, also when the clock was set back since. */
export function wellAt(container: Pick<ContainerInfo, 'started_at'>, now: string): string {
  const startedAt = container.started_at ?? now
  return startedAt > now ? startedAt : now
}

function planUnwanted(
  container: ContainerInfo,
  deploymentId: string,
  row: ReplicaRow | undefined,
): ReplicaAction {
  const { name } = container
  if (container.phase === 'running') {
    if (row?.status === 'Draining') return { kind: 'end_drain', name, row }
    // Only what was well had requests.
    if (row?.status === 'Healthy') return { kind: 'begin_drain', name, row }
  }
  return { kind: 'remove', name, deployment_id: deploymentId }
}
