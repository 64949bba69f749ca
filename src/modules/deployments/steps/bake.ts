import { orAborted } from '../../../lib/abortable.ts'
import type { Runtime } from '../../../runtime/runtime.ts'
import { probe, type ProbeResult } from '../../replicas/health-probe.ts'
import type { ReplicaRow } from '../../replicas/replica-schema.ts'
import type { ServiceConfig, ServiceRow } from '../../services/service-schema.ts'
import type { DeploymentRow } from '../deployment-schema.ts'
import type { ReplicaRows, StepContext } from './step.ts'

export interface BakeDeps {
  replicas: ReplicaRows
  runtime: Pick<Runtime, 'inspectContainer'>
  findDeployment: (id: string) => DeploymentRow | undefined
  findService: (id: string) => ServiceRow | undefined
  hostnameOf: (serviceId: string) => string
  /** Whether another deployment of the service waits for this one to end. */
  isAwaited: (serviceId: string, deploymentId: string) => boolean
  /** Makes the replaced release the live one again, with those of its replicas that are well, and ends the deployment. False: nothing to do. */
  swapBack: (deploymentId: string, well: readonly ReplicaRow[], reason: string) => boolean
  publishRoutes: () => Promise<void>
  onError: (error: unknown) => void
}

const SHORTEST_PAUSE_MS = 1_000

/**
 * Makes what watches a release that has just become live, while the replicas that it replaced still stand by without requests. Answers
 * false when the release failed its probes and was given up for the one before.
 */
export function createBake(deps: BakeDeps) {
  const ask = (row: ReplicaRow, config: ServiceConfig, context: StepContext): Promise<ProbeResult> => {
    const { address } = row
    const { internal_port: port, health_check: check } = config
    if (address === null || port === null)
      return Promise.resolve({ ok: port === null && address !== null, seen: 'has no address' })
    const target = { address, port, hostname: deps.hostnameOf(row.service_id) }
    return probe(target, check, context.system, context.signal)
  }

  /** Undefined while it comes up: that is judged by the health check, not here. */
  const look = async (row: ReplicaRow, context: StepContext): Promise<ProbeResult | undefined> => {
    if (row.status === 'Starting') return undefined
    if (row.status === 'Healthy') return ask(row, context.deployment.config, context)
    return { ok: false, seen: row.reason ?? row.status }
  }

  /** Looks at each replica once, and answers why the release has failed if it has. */
  const findFailure = async (context: StepContext, bad: Map<string, number>): Promise<string | undefined> => {
    const { live_failures: limit } = context.deployment.config.health_check
    const rows = deps.replicas
      .listByDeployment(context.deployment.id)
      .filter(({ status }) => status !== 'Draining')
    const results = await Promise.all(rows.map(async (row) => ({ row, result: await look(row, context) })))
    context.signal.throwIfAborted()
    for (const { row, result } of results) {
      if (!result) continue
      const what = `Replica ${row.replica_index}`
      const count = result.ok ? 0 : (bad.get(row.container_name) ?? 0) + 1
      bad.set(row.container_name, count)
      if (count > 0) context.log(`${what}: ${result.seen} (bad, ${count} of ${limit})`)
      if (count >= limit || row.status === 'CrashLoop')
        return `${what} failed during the bake time: ${result.seen}.`
    }
    return undefined
  }

  /** Why the watch ends without a verdict, if it does. */
  const findEnd = ({ deployment }: StepContext): string | undefined => {
    if (deps.isAwaited(deployment.service_id, deployment.id))
      return 'The next deployment waits: the bake time ends early.'
    const service = deps.findService(deployment.service_id)
    return service?.desired_state === 'running' ? undefined : 'The service was stopped: the bake time ends.'
  }

  /** A container that has gone leaves its address to others, who might answer well. */
  const isWell = async (row: ReplicaRow, config: ServiceConfig, context: StepContext): Promise<boolean> => {
    const container = await deps.runtime.inspectContainer(row.container_name)
    if (container?.phase !== 'running' || container.address !== row.address) return false
    return (await ask(row, config, context)).ok
  }

  const giveUp = async (context: StepContext, old: DeploymentRow, failure: string): Promise<boolean> => {
    const { deployment, log } = context
    const standing = deps.replicas.listByDeployment(old.id)
    const asked = await Promise.all(standing.map((row) => isWell(row, old.config, context)))
    context.signal.throwIfAborted()
    const well = standing.filter((_, index) => asked[index])
    const reason = `Rolled back to deployment ${old.number}: ${failure}`
    log(`Failed: ${reason}`)
    if (!deps.swapBack(deployment.id, well, reason)) return false
    // From here on the rows say everything; a table that cannot be handed over now follows later.
    await orAborted(deps.publishRoutes(), context.signal).catch(deps.onError)
    return true
  }

  return async (context: StepContext): Promise<boolean> => {
    const { deployment, system, signal, log } = context
    const { bake_seconds: seconds, health_check: check } = deployment.config
    const old = deployment.replaces_id === null ? undefined : deps.findDeployment(deployment.replaces_id)
    if (seconds === 0 || old === undefined) return true
    // From then on by a clock that nobody sets.
    const left = Date.parse(deployment.routed_at ?? deployment.updated_at) + seconds * 1000 - system.now()
    const end = system.monotonic() + Math.min(seconds * 1000, left)
    log(`Watching it for ${seconds} s; if it fails, deployment ${old.number} comes back.`)
    const bad = new Map<string, number>()
    while (system.monotonic() < end) {
      const over = findEnd(context)
      if (over !== undefined) log(over)
      if (over !== undefined) return true
      const failure = await findFailure(context, bad)
      if (failure !== undefined) return !(await giveUp(context, old, failure))
      await system.sleep(Math.max(SHORTEST_PAUSE_MS, check.interval_ms), signal)
    }
    log('It has stood its bake time.')
    return true
  }
}
