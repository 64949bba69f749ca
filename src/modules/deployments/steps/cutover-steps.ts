import { orAborted } from '../../../lib/abortable.ts'
import type { Runtime } from '../../../runtime/runtime.ts'
import { type DrainDeps, lookAtDrain } from '../../replicas/replica-drain.ts'
import type { ReplicaRow } from '../../replicas/replica-schema.ts'
import type { ReplicaRows, StepContext, StepWork } from './step.ts'

export interface CutoverStepDeps extends DrainDeps {
  runtime: Runtime
  replicas: ReplicaRows
  /** Makes the release the live one, in one transaction; repeating it changes nothing. Answers the release that it replaced, if any. */
  makeLive: (deploymentId: string) => string | null
  /** Makes the release the canary of its service, in one transaction; repeating it changes nothing. */
  makeCanary: (deploymentId: string) => void
  /** Hands the routes of this moment to the ingress; resolves when every ingress process has them. */
  publishRoutes: () => Promise<void>
  graceOf: (deploymentId: string) => number
  preStopOf: (deploymentId: string) => number
  /** Watches the release for its bake time; false: it was given up, there is nothing left to do. */
  bake: (context: StepContext) => Promise<boolean>
  /** Whether another deployment of the service waits for this one to end. */
  isAwaited: (serviceId: string, deploymentId: string) => boolean
}

const DRAIN_LOOK_MS = 100

/** The steps that move traffic over and let the old replicas go. */
export function createCutoverSteps(deps: CutoverStepDeps): Record<'route' | 'retire', StepWork> {
  const { runtime, replicas } = deps

  /** Answers whether the old replicas may be stopped; if not, they are left to the reconciler, which drains them just so. */
  const drain = async (
    context: StepContext,
    old: readonly ReplicaRow[],
    preStopSeconds: number,
  ): Promise<boolean> => {
    const { deployment, system, signal, log } = context
    const names = old.map((replica) => replica.container_name)
    const begin = system.monotonic()
    for (;;) {
      const seconds = (system.monotonic() - begin) / 1000
      const { over, requests, upgraded } = await orAborted(
        lookAtDrain(deps, names, seconds, preStopSeconds),
        signal,
      )
      if (over) {
        if (requests + upgraded > 0)
          log(`Cutting ${requests} requests and ${upgraded} upgraded connections that took too long.`)
        return true
      }
      if (deps.isAwaited(deployment.service_id, deployment.id)) {
        log('The next deployment waits: the old replicas finish their requests in the background.')
        return false
      }
      await system.sleep(DRAIN_LOOK_MS, signal)
    }
  }

  const removeReplica = async (replica: ReplicaRow, graceSeconds: number): Promise<void> => {
    await runtime.stopContainer(replica.container_name, graceSeconds)
    await runtime.removeContainer(replica.container_name)
    replicas.remove(replica.container_name)
  }

  return {
    route: async (context) => {
      const { canary_percent: percent } = context.deployment
      if (percent !== null) {
        deps.makeCanary(context.deployment.id)
        await orAborted(deps.publishRoutes(), context.signal)
        context.log(`It is a canary: it gets ${percent} % of the requests.`)
        return
      }
      const replaced = deps.makeLive(context.deployment.id)
      await orAborted(deps.publishRoutes(), context.signal)
      context.log(replaced === null ? 'It is live.' : 'It is live; new requests go to it.')
    },

    retire: async (context) => {
      if (!(await deps.bake(context))) return
      const replacedId = context.deployment.replaces_id
      const old = replacedId === null ? [] : replicas.listByDeployment(replacedId)
      if (replacedId === null || old.length === 0) return
      // After a crash the ingress may still have the table from before.
      await orAborted(deps.publishRoutes(), context.signal)
      if (!(await drain(context, old, deps.preStopOf(replacedId)))) return
      const grace = deps.graceOf(replacedId)
      const removals = old.map((replica) => removeReplica(replica, grace))
      await orAborted(Promise.all(removals), context.signal)
      context.log(`Stopped ${old.length} old ${old.length === 1 ? 'replica' : 'replicas'}.`)
    },
  }
}
