import type { System } from '../../lib/system.ts'
import type { Runtime } from '../../runtime/runtime.ts'
import type { DeploymentRow } from '../deployments/deployment-schema.ts'
import { type ServiceSummary, writesVolumes } from '../services/service-schema.ts'
import { type DrainDeps, lookAtDrain } from './replica-drain.ts'
import type { ReplicaRow } from './replica-schema.ts'
import type { ReplicaStore } from './replica-store.ts'

export interface ReplicaDepartureDeps extends DrainDeps {
  runtime: Runtime
  system: System
  store: ReplicaStore
  /** Resolves when no ingress process sends new requests to what is not in the routes of this moment. */
  publishRoutes: () => Promise<void>
  /** Called after a row changed that routes follow from. */
  routesChanged: () => void
  /** Seconds between SIGTERM and SIGKILL for replicas of a deployment; undefined when it is gone. */
  graceOf: (deploymentId: string) => number | undefined
  /** Seconds that they live on at the least once they get no new requests; undefined when the deployment is gone. */
  preStopOf: (deploymentId: string) => number | undefined
  /** Whether another release cannot start before the replicas of this deployment are gone. */
  isInTheWay: (deploymentId: string) => boolean
}

/** For containers of which nothing is known but their labels. */
const UNKNOWN_GRACE_SECONDS = 10
const LOOK_MS = 250

/** Whether a release that was given up keeps the live one of its service from its volumes, and everyone who asks for that waiting. */
export function blocksLiveRelease(
  release: Pick<DeploymentRow, 'id' | 'config'>,
  service: Pick<ServiceSummary, 'live_deployment_id' | 'desired_state'> | undefined,
): boolean {
  return (
    service?.desired_state === 'running' &&
    service.live_deployment_id !== release.id &&
    writesVolumes(release.config)
  )
}

/** How replicas that nobody wants any more leave: no new requests, the old ones finished, SIGTERM, gone. */
export function createReplicaDeparture(deps: ReplicaDepartureDeps) {
  const { runtime, system, store } = deps
  /** Since when each gets no new requests, as far as this daemon knows: a clock that went on while no daemon ran says nothing. */
  const quietSince = new Map<string, number>()

  const remove = async (name: string, deploymentId: string): Promise<void> => {
    quietSince.delete(name)
    await runtime.stopContainer(name, deps.graceOf(deploymentId) ?? UNKNOWN_GRACE_SECONDS)
    await runtime.removeContainer(name)
    store.remove(name)
  }

  return {
    beginDrain: (row: ReplicaRow): void => {
      store.keep({ ...row, status: 'Draining', updated_at: system.nowIso() })
      deps.routesChanged()
    },

    /** Removes it when nothing runs through it any more, or for long enough. Answers after how many milliseconds to look again. */
    endDrain: async ({ container_name: name, deployment_id }: ReplicaRow): Promise<number> => {
      await deps.publishRoutes()
      const now = system.monotonic()
      const since = quietSince.get(name) ?? now
      quietSince.set(name, since)
      const isInTheWay = deps.isInTheWay(deployment_id)
      const { over } = await lookAtDrain(
        // Requests wait for the next one meanwhile, so upgraded connections get no time of their own.
        isInTheWay ? { ...deps, drainUpgradedSeconds: 0 } : deps,
        [name],
        (now - since) / 1000,
        deps.preStopOf(deployment_id) ?? 0,
      )
      if (!over) return LOOK_MS
      await remove(name, deployment_id)
      return 0
    },

    remove,

    forget: (name: string): void => {
      quietSince.delete(name)
      store.remove(name)
    },

    /** It is wanted again. */
    stays: (name: string): void => void quietSince.delete(name),
  }
}
