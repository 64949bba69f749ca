import { isAppError, messageOf } from '../../lib/errors.ts'
import type { System } from '../../lib/system.ts'
import { LABELS } from '../../runtime/labels.ts'
import { type ContainerInfo, ContainerRefused, type Runtime } from '../../runtime/runtime.ts'
import type { DeploymentRow } from '../deployments/deployment-schema.ts'
import { containerName, networkName, replicaSpec } from './container-spec.ts'
import { exitReason } from './exit-reason.ts'
import { probe } from './health-probe.ts'
import type { ReplicaAction, ReplicaIntent } from './replica-plan.ts'
import type { ReplicaRow, ReplicaStore } from './replica-store.ts'

export interface ReplicaKeeperDeps {
  runtime: Runtime
  system: System
  store: ReplicaStore
  openEnv: (sealed: string) => Promise<Readonly<Record<string, string>>>
  hostnameOf: (serviceId: string) => string
  inFlight: (upstreamIds: readonly string[]) => Promise<{ requests: number; upgraded: number }>
  /** Resolves when no ingress process sends new requests to what is not in the routes of this moment. */
  publishRoutes: () => Promise<void>
  drainSeconds: number
  drainUpgradedSeconds: number
}

const FIRST_BACKOFF_MS = 1_000
const LONGEST_BACKOFF_MS = 5 * 60_000
/** From this many restarts on it is called a crash loop. */
const CRASH_LOOP_RESTARTS = 3
/** A replica that was well for this long starts counting anew. */
const SETTLED_MS = 10 * 60_000
const REMOVE_GRACE_SECONDS = 10

/** Carries out what `planReplicas` found, one container at a time; every action can be repeated. */
export function createReplicaKeeper(deps: ReplicaKeeperDeps) {
  const { runtime, system, store } = deps
  const goodProbes = new Map<string, number>()

  const rowOf = (
    intent: ReplicaIntent,
    live: DeploymentRow,
    index: number,
    row: ReplicaRow | undefined,
  ): ReplicaRow => ({
    container_name: containerName(live.id, index),
    service_id: intent.service_id,
    deployment_id: live.id,
    replica_index: index,
    status: 'Starting',
    address: null,
    restarts: 0,
    reason: null,
    next_start_at: null,
    ...row,
    updated_at: system.nowIso(),
  })

  const saveBackoff = (row: ReplicaRow, reason: string): void => {
    const restarts = row.restarts + 1
    const delay = Math.min(LONGEST_BACKOFF_MS, FIRST_BACKOFF_MS * 2 ** Math.min(row.restarts, 20))
    store.save({
      ...row,
      status: restarts >= CRASH_LOOP_RESTARTS ? 'CrashLoop' : 'Exited',
      address: null,
      restarts,
      reason,
      next_start_at: new Date(system.now() + delay).toISOString(),
    })
  }

  const run = async (
    intent: ReplicaIntent,
    live: DeploymentRow,
    index: number,
    known: ReplicaRow | undefined,
  ): Promise<void> => {
    const row = rowOf(intent, live, index, known)
    // It may have come up since the list was made, by the deployment that has just ended.
    if ((await runtime.inspectContainer(row.container_name))?.phase === 'running') return
    goodProbes.delete(row.container_name)
    try {
      await runtime.ensureNetwork({
        name: networkName(live.project_id),
        labels: { [LABELS.kind]: 'network', [LABELS.project]: live.project_id },
      })
      const env = live.env_sealed === null ? {} : await deps.openEnv(live.env_sealed)
      await runtime.ensureContainer(
        replicaSpec({ service_name: intent.service_name, deployment: live, env }, index),
      )
      store.save({ ...row, status: 'Starting', address: null, next_start_at: null })
      await runtime.startContainer(row.container_name)
    } catch (error) {
      if (isAppError(error, 'RUNTIME_UNAVAILABLE')) throw error
      const reason = isAppError(error, 'NOT_FOUND')
        ? 'its image is no longer in the engine; deploy again'
        : error instanceof ContainerRefused
          ? `could not start: ${error.message}`
          : `could not start: ${messageOf(error)}`
      saveBackoff(row, reason)
    }
  }

  const recordExit = (
    intent: ReplicaIntent,
    live: DeploymentRow,
    action: Extract<ReplicaAction, { kind: 'record_exit' }>,
  ): void => {
    const settled =
      action.row?.status === 'Healthy' && system.now() - Date.parse(action.row.updated_at) > SETTLED_MS
    const row = { ...rowOf(intent, live, action.index, action.row), ...(settled && { restarts: 0 }) }
    goodProbes.delete(row.container_name)
    const reason = exitReason(action.container)
    const { restart } = live.config
    if (restart === 'always' || (restart === 'on_failure' && action.container.exit_code !== 0))
      saveBackoff(row, reason)
    else store.save({ ...row, status: 'Exited', address: null, reason, next_start_at: null })
  }

  const isWell = async (
    live: DeploymentRow,
    container: ContainerInfo,
    signal: AbortSignal,
  ): Promise<boolean> => {
    const { health_check: check, internal_port: port } = live.config
    if (port === null)
      return system.now() - Date.parse(container.started_at ?? '') >= check.stays_up_seconds * 1000
    if (container.address === null) return false
    const target = { address: container.address, port, hostname: deps.hostnameOf(live.service_id) }
    const good = (await probe(target, check, signal)).ok ? (goodProbes.get(container.name) ?? 0) + 1 : 0
    goodProbes.set(container.name, good)
    return good >= check.successes
  }

  const look = async (
    intent: ReplicaIntent,
    live: DeploymentRow,
    action: Extract<ReplicaAction, { kind: 'probe' }>,
    signal: AbortSignal,
  ): Promise<void> => {
    const row = rowOf(intent, live, action.index, action.row)
    // Until it is known to be well again it gets no requests: it has another address, or was started anew.
    if (action.row?.status === 'Healthy' || action.row?.status === 'Draining' || !action.row) {
      store.save({ ...row, status: 'Starting', address: null })
    }
    if (!(await isWell(live, action.container, signal))) return
    goodProbes.delete(row.container_name)
    store.save({
      ...row,
      status: 'Healthy',
      address: action.container.address,
      reason: null,
      next_start_at: null,
      updated_at: system.nowIso(),
    })
  }

  const remove = async (name: string): Promise<void> => {
    goodProbes.delete(name)
    await runtime.stopContainer(name, REMOVE_GRACE_SECONDS)
    await runtime.removeContainer(name)
    store.remove(name)
  }

  const endDrain = async (row: ReplicaRow): Promise<void> => {
    const seconds = (system.now() - Date.parse(row.updated_at)) / 1000
    await deps.publishRoutes()
    const { requests, upgraded } = await deps.inFlight([row.container_name])
    if (requests > 0 && seconds < deps.drainSeconds) return
    if (upgraded > 0 && seconds < deps.drainUpgradedSeconds) return
    await remove(row.container_name)
  }

  return {
    /** Does one thing. Throws only RUNTIME_UNAVAILABLE and what nobody foresaw. */
    perform: async (action: ReplicaAction, signal: AbortSignal): Promise<void> => {
      switch (action.kind) {
        case 'begin_drain':
          store.save({ ...action.row, status: 'Draining', updated_at: system.nowIso() })
          return
        case 'end_drain':
          return endDrain(action.row)
        case 'remove':
          return remove(action.name)
        case 'forget':
          store.remove(action.name)
          return
        default:
      }
      const { live } = action.intent
      if (live === null) return
      if (action.kind === 'run') await run(action.intent, live, action.index, action.row)
      else if (action.kind === 'record_exit') recordExit(action.intent, live, action)
      else await look(action.intent, live, action, signal)
    },
  }
}
