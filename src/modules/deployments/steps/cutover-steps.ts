import type { Runtime } from '../../../runtime/runtime.ts'
import type { ReplicaRow, ReplicaStore } from '../../replicas/replica-store.ts'
import type { StepContext, StepWork } from './step.ts'

export interface CutoverStepDeps {
  runtime: Runtime
  replicas: ReplicaStore
  /** Makes the release the live one, in one transaction; repeating it changes nothing. Answers the release that it replaced, if any. */
  makeLive: (deploymentId: string) => string | null
  /** Hands the routes of this moment to the ingress; resolves when every ingress process has them. */
  publishRoutes: () => Promise<void>
  inFlight: (upstreamIds: readonly string[]) => Promise<{ requests: number; upgraded: number }>
  graceOf: (deploymentId: string) => number
  drainSeconds: number
  drainUpgradedSeconds: number
}

const DRAIN_LOOK_MS = 100

/** The steps that move traffic over and let the old replicas go. */
export function createCutoverSteps(deps: CutoverStepDeps): Record<'route' | 'retire', StepWork> {
  const { runtime, replicas } = deps

  const drain = async (context: StepContext, old: readonly ReplicaRow[]): Promise<void> => {
    const names = old.map((replica) => replica.container_name)
    const begin = context.system.monotonic()
    for (;;) {
      const { requests, upgraded } = await deps.inFlight(names)
      const seconds = (context.system.monotonic() - begin) / 1000
      const waitsForRequests = requests > 0 && seconds < deps.drainSeconds
      const waitsForUpgraded = upgraded > 0 && seconds < deps.drainUpgradedSeconds
      if (!waitsForRequests && !waitsForUpgraded) {
        if (requests + upgraded > 0) {
          context.log(`Cutting ${requests} requests and ${upgraded} upgraded connections that took too long.`)
        }
        return
      }
      await context.system.sleep(DRAIN_LOOK_MS, context.signal)
    }
  }

  const removeReplica = async (replica: ReplicaRow, graceSeconds: number): Promise<void> => {
    await runtime.stopContainer(replica.container_name, graceSeconds)
    await runtime.removeContainer(replica.container_name)
    replicas.remove(replica.container_name)
  }

  return {
    route: async (context) => {
      const replaced = deps.makeLive(context.deployment.id)
      await deps.publishRoutes()
      context.log(replaced === null ? 'It is live.' : 'It is live; new requests go to it.')
    },

    retire: async (context) => {
      const replacedId = context.deployment.replaces_id
      const old = replacedId === null ? [] : replicas.listByDeployment(replacedId)
      if (replacedId === null || old.length === 0) return
      // After a crash the ingress may still have the table from before.
      await deps.publishRoutes()
      await drain(context, old)
      const grace = deps.graceOf(replacedId)
      await Promise.all(old.map((replica) => removeReplica(replica, grace)))
      context.log(`Stopped ${old.length} old ${old.length === 1 ? 'replica' : 'replicas'}.`)
    },
  }
}
