import { orAborted } from '../../../lib/abortable.ts'
import { diskFullOf } from '../../../lib/disk-trouble.ts'
import { LABELS } from '../../../runtime/labels.ts'
import type { ContainerInfo, Runtime } from '../../../runtime/runtime.ts'
import { type DrainDeps, lookAtDrain } from '../../replicas/replica-drain.ts'
import { DeploymentFailed, type ReplicaRows, type StepContext } from './step.ts'

export interface StopFirstDeps extends DrainDeps {
  runtime: Runtime
  replicas: ReplicaRows
  /** Records that the live release is stopped for this deployment; from then on nobody starts anything of it. */
  claim: (deploymentId: string, now: string) => void
  publishRoutes: () => Promise<void>
  graceOf: (deploymentId: string) => number
  preStopOf: (deploymentId: string) => number
}

const DRAIN_LOOK_MS = 100

/**
 * What a deployment does first that writes into volumes: the replicas of the release before it get no new requests (the ingress holds them),
 * finish those that they have, and are stopped. Upgraded connections are not waited for: everyone else waits meanwhile.
 */
export function createStopFirst(deps: StopFirstDeps) {
  const { runtime, replicas } = deps

  return {
    drain: async (context: StepContext): Promise<void> => {
      const { deployment, system, signal, log } = context
      deps.claim(deployment.id, system.nowIso())
      const old = replicas
        .listByService(deployment.service_id)
        .filter((row) => row.deployment_id !== deployment.id)
      if (old.length === 0) return
      log('Stopping the release before it first, because it writes into volumes; requests wait meanwhile.')
      const releases = [...new Set(old.map((row) => row.deployment_id))]
      for (const id of releases) replicas.markDraining(id, system.nowIso())
      await orAborted(deps.publishRoutes().catch(failOfFullDisk), signal)
      const names = old.map((row) => row.container_name)
      const preStop = Math.max(...releases.map(deps.preStopOf))
      const begin = system.monotonic()
      for (;;) {
        const seconds = (system.monotonic() - begin) / 1000
        const look = lookAtDrain({ ...deps, drainUpgradedSeconds: 0 }, names, seconds, preStop)
        const { over, requests, upgraded } = await orAborted(look, signal)
        if (over && requests + upgraded > 0)
          log(`Cutting ${requests} requests and ${upgraded} upgraded connections.`)
        if (over) return
        await system.sleep(DRAIN_LOOK_MS, signal)
      }
    },

    /** Takes a container of another release away. */
    leave: async ({ signal, log }: StepContext, rival: ContainerInfo): Promise<void> => {
      signal.throwIfAborted()
      await runtime.stopContainer(rival.name, deps.graceOf(rival.labels[LABELS.deployment] ?? ''))
      await runtime.removeContainer(rival.name)
      replicas.remove(rival.name)
      log(`Stopped ${rival.name}.`)
    },
  }
}

/** Workers have the routes then, but a new one would begin with those of before. The release that is there is not to wait for room. */
function failOfFullDisk(error: unknown): never {
  throw diskFullOf(error) === undefined
    ? error
    : new DeploymentFailed('The disk of the node is full: the release before goes on.')
}
