import type { ContainerInfo } from '../../runtime/runtime.ts'
import { probe } from './health-probe.ts'
import type { ReplicaDepartureDeps } from './replica-departure.ts'
import { lookAtDrain } from './replica-drain.ts'
import type { ReplicaRecords, Wanted } from './replica-record.ts'
import type { ReplicaRow } from './replica-schema.ts'

export interface ReplicaLivenessDeps extends ReplicaDepartureDeps {
  hostnameOf: (serviceId: string) => string
}

const DRAIN_LOOK_MS = 250

/** How replicas that were well are watched, and those that are not any more are replaced. */
export function createReplicaLiveness(deps: ReplicaLivenessDeps, records: ReplicaRecords) {
  const { runtime, system, store } = deps
  /** In a row, of each container. */
  const badProbes = new Map<string, number>()

  /** They hang, perhaps with their requests: what is open for good is not waited for. */
  const drain = async (name: string, preStopSeconds: number, signal: AbortSignal): Promise<void> => {
    const begin = system.monotonic()
    const limits = { ...deps, drainUpgradedSeconds: deps.drainSeconds }
    for (;;) {
      const seconds = (system.monotonic() - begin) / 1000
      if ((await lookAtDrain(limits, [name], seconds, preStopSeconds)).over) return
      await system.sleep(DRAIN_LOOK_MS, signal)
    }
  }

  /** Others of its release that are coming up: replacing one after the other leaves somebody there. */
  const isAnotherStarting = ({ name, release }: Wanted): boolean =>
    store
      .listByDeployment(release.id)
      .some(({ container_name, status }) => container_name !== name && status === 'Starting')

  /** Takes it out of the routes, lets it finish, and makes way for a new container of its name. */
  const replace = async (wanted: Wanted, reason: string, signal: AbortSignal): Promise<void> => {
    const { name, release } = wanted
    const row: ReplicaRow = { ...records.rowOf(wanted) }
    if (wanted.row) row.restarts = records.restartsOf(wanted.row)
    records.noteUnhealthy(row, reason)
    await deps.publishRoutes()
    await drain(name, release.config.pre_stop_seconds, signal)
    if (!records.isStill(name, 'Unhealthy')) return
    await runtime.stopContainer(name, release.config.stop_grace_seconds)
    await runtime.removeContainer(name)
    badProbes.delete(name)
    if (records.isStill(name, 'Unhealthy')) records.saveBackoff(row, reason)
  }

  /** Counts a bad probe, and replaces the replica when it was one too many. */
  const countBad = async (wanted: Wanted, seen: string, signal: AbortSignal): Promise<void> => {
    const { health_check: check, restart } = wanted.release.config
    const bad = (badProbes.get(wanted.name) ?? 0) + 1
    badProbes.set(wanted.name, bad)
    if (bad < check.live_failures) return
    const reason = `failed its health check ${bad} times in a row: ${seen}`
    if (restart === 'never') records.noteUnhealthy(records.rowOf(wanted), reason)
    else if (!isAnotherStarting(wanted)) await replace(wanted, reason, signal)
  }

  return {
    countBad,

    /** Asks a replica that is well how it is. Answers after how many milliseconds to ask again. */
    watch: async (wanted: Wanted, container: ContainerInfo, signal: AbortSignal): Promise<number> => {
      const { health_check: check, internal_port: port } = wanted.release.config
      const { address, name } = container
      if (port === null || address === null) return 0
      const target = { address, port, hostname: deps.hostnameOf(wanted.release.service_id) }
      const { ok, seen } = await probe(target, check, system, signal)
      signal.throwIfAborted()
      if (ok) badProbes.delete(name)
      else if (records.isStill(name, 'Healthy')) await countBad(wanted, seen, signal)
      return check.live_interval_seconds * 1000
    },

    forget: (name: string): void => void badProbes.delete(name),
  }
}
