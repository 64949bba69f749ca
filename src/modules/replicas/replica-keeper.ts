import { AppError, isAppError, messageOf } from '../../lib/errors.ts'
import type { System } from '../../lib/system.ts'
import { LABELS } from '../../runtime/labels.ts'
import { type ContainerInfo, ContainerRefused, type MountSpec, type Runtime } from '../../runtime/runtime.ts'
import type { DeploymentRow } from '../deployments/deployment-schema.ts'
import { networkName, replicaSpec } from './container-spec.ts'
import { exitReason } from './exit-reason.ts'
import { probe, type ProbeResult } from './health-probe.ts'
import { VolumeLost } from '../volumes/volume-schema.ts'
import { createReplicaDeparture, type ReplicaDepartureDeps } from './replica-departure.ts'
import { createReplicaLiveness } from './replica-liveness.ts'
import { type ReplicaAction, runningMs, wellAt } from './replica-plan.ts'
import { createReplicaRecords, type Wanted } from './replica-record.ts'
import type { ReplicaRow } from './replica-schema.ts'
import type { ReplicaStore } from './replica-store.ts'

export interface ReplicaKeeperDeps extends ReplicaDepartureDeps {
  runtime: Runtime
  system: System
  store: ReplicaStore
  /** The variables of a release. */
  openEnv: (deploymentId: string) => Promise<Readonly<Record<string, string>>>
  hostnameOf: (serviceId: string) => string
  /** Begins to bring back an image that the engine has lost; false when that has failed. */
  recoverImage: (deployment: { id: string; image: string | null }) => boolean
  /** Starts a replica with its volumes, or answers false when another release has them or is about to. */
  startAlone: (
    release: DeploymentRow,
    start: (mounts: readonly MountSpec[]) => Promise<void>,
  ) => Promise<boolean>
}

/** How soon one whose volume the engine has lost is tried again: a restore or a removal of the volume lets it start. */
const LOSS_LOOK_MS = 5_000
/** How soon one whose image is being brought back is tried again. */
const RECOVERY_LOOK_MS = 1_000
const IMAGE_IS_COMING = 'the engine has lost its image, which is being taken from the registry again'
/** One that has had its time to become well is looked at less often. */
const UNHEALTHY_LOOK_MS = 5_000

/** Carries out what `planReplicas` found, one container at a time; every action can be repeated. */
export function createReplicaKeeper(deps: ReplicaKeeperDeps) {
  const { runtime, system } = deps
  const departure = createReplicaDeparture(deps)
  const records = createReplicaRecords(deps)
  const liveness = createReplicaLiveness(deps, records)
  const { rowOf, save, isStill, restartsOf, saveBackoff } = records
  const goodProbes = new Map<string, number>()

  /** Waits for what it needs, which is no fault of the replica's. */
  const wait = (row: ReplicaRow, reason: string, ms: number): void =>
    save({
      ...row,
      status: 'Exited',
      address: null,
      reason,
      next_start_at: new Date(system.now() + ms).toISOString(),
    })

  const start = async ({ name, intent, release, index }: Wanted): Promise<void> => {
    await runtime.ensureNetwork({
      name: networkName(release.project_id),
      labels: { [LABELS.kind]: 'network', [LABELS.project]: release.project_id },
    })
    const env = await deps.openEnv(release.id)
    await deps.startAlone(release, async (mounts) => {
      await runtime.ensureContainer(
        replicaSpec({ service_name: intent.service_name, deployment: release, env, mounts }, index),
      )
      await runtime.startContainer(name)
    })
  }

  const run = async (wanted: Wanted): Promise<void> => {
    // It may have come up since the list was made, by the deployment that has just ended.
    if ((await runtime.inspectContainer(wanted.name))?.phase === 'running') return
    goodProbes.delete(wanted.name)
    departure.stays(wanted.name)
    const row = rowOf(wanted)
    save({ ...row, status: 'Starting', address: null, next_start_at: null })
    try {
      await start(wanted)
    } catch (error) {
      if (isAppError(error, 'RUNTIME_UNAVAILABLE')) throw error
      const isComing = isAppError(error, 'NOT_FOUND') && deps.recoverImage(wanted.release)
      if (!isStill(wanted.name, 'Starting')) return
      if (isComing) return wait(row, IMAGE_IS_COMING, RECOVERY_LOOK_MS)
      if (error instanceof VolumeLost) return wait(row, error.message, LOSS_LOOK_MS)
      saveBackoff(row, refusalOf(error))
      if (!(error instanceof ContainerRefused) && !(error instanceof AppError)) throw error
    }
  }

  const recordExit = async (wanted: Wanted): Promise<void> => {
    const container = await runtime.inspectContainer(wanted.name)
    const known = wanted.row
    // The list is a little old.
    if (container?.phase !== 'exited' || !isStill(wanted.name, known?.status)) return
    const row = { ...rowOf(wanted), ...(known && { restarts: restartsOf(known) }) }
    goodProbes.delete(wanted.name)
    const reason = exitReason(container)
    const { restart } = wanted.release.config
    if (restart === 'always' || (restart === 'on_failure' && container.exit_code !== 0))
      saveBackoff(row, reason)
    else save({ ...row, status: 'Exited', address: null, reason, next_start_at: null })
  }

  const examine = async (
    { release }: Wanted,
    container: ContainerInfo,
    signal: AbortSignal,
  ): Promise<ProbeResult> => {
    const { health_check: check, internal_port: port } = release.config
    if (port === null) {
      const up = runningMs(container, system.now()) / 1000
      return { ok: up >= check.stays_up_seconds, seen: `running for ${up.toFixed(1)} s` }
    }
    if (container.address === null) return { ok: false, seen: 'has no address yet' }
    const target = { address: container.address, port, hostname: deps.hostnameOf(release.service_id) }
    const result = await probe(target, check, system, signal)
    signal.throwIfAborted()
    const good = result.ok ? (goodProbes.get(container.name) ?? 0) + 1 : 0
    goodProbes.set(container.name, good)
    return { ok: good >= check.successes, seen: result.seen }
  }

  const look = async (wanted: Wanted, container: ContainerInfo, signal: AbortSignal): Promise<number> => {
    const row = rowOf(wanted)
    // Until it is known to be well again it gets no requests: it has another address, or was started anew.
    if (wanted.row === undefined || row.status === 'Healthy') {
      row.status = 'Starting'
      save({ ...row, address: null })
    }
    const { ok, seen } = await examine(wanted, container, signal)
    if (!isStill(wanted.name, row.status)) return 0
    const check = wanted.release.config.health_check
    if (!ok) {
      // One that is Unhealthy already has had its time, or was ejected and a crash cut its replacement short.
      const overdue =
        row.status === 'Unhealthy' || runningMs(container, system.now()) > check.timeout_seconds * 1000
      if (overdue) {
        records.noteUnhealthy(row, `did not pass its health check: ${seen}`)
        if (check.live_interval_seconds > 0 && row.status !== 'Draining')
          await liveness.countBad(wanted, seen, signal)
      }
      return overdue ? Math.max(check.interval_ms, UNHEALTHY_LOOK_MS) : check.interval_ms
    }
    goodProbes.delete(wanted.name)
    liveness.forget(wanted.name)
    departure.stays(wanted.name)
    save({
      ...row,
      status: 'Healthy',
      address: container.address,
      reason: null,
      next_start_at: null,
      updated_at: wellAt(container, system.nowIso()),
    })
    return 0
  }

  return {
    /** Lets a replica have no requests until it is known to be well again. */
    distrust: (row: ReplicaRow): void =>
      save({ ...row, status: 'Starting', address: null, restarts: restartsOf(row) }),

    /** Resolves when no ingress process sends new requests to what is not in the routes of this moment. */
    publishRoutes: deps.publishRoutes,

    /** Does one thing. Answers after how many milliseconds the same may be done again. Throws RUNTIME_UNAVAILABLE and what nobody foresaw. */
    perform: async (action: ReplicaAction, signal: AbortSignal): Promise<number> => {
      switch (action.kind) {
        case 'run':
          await run(action)
          return 0
        case 'record_exit':
          await recordExit(action)
          return 0
        case 'probe':
          return look(action, action.container, signal)
        case 'watch':
          return liveness.watch(action, action.container, signal)
        case 'begin_drain':
          departure.beginDrain(action.row)
          return 0
        case 'end_drain':
          return departure.endDrain(action.row)
        case 'remove':
          goodProbes.delete(action.name)
          liveness.forget(action.name)
          await departure.remove(action.name, action.deployment_id)
          return 0
        case 'forget':
          departure.forget(action.name)
          return 0
      }
    },
  }
}

function refusalOf(error: unknown): string {
  return isAppError(error, 'NOT_FOUND')
    ? 'its image is no longer in the engine; deploy again'
    : `could not start: ${messageOf(error)}`
}
