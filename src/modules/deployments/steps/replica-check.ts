import type { ContainerInfo, Runtime } from '../../../runtime/runtime.ts'
import { containerName } from '../../replicas/container-spec.ts'
import { exitReason } from '../../replicas/exit-reason.ts'
import { probe, type ProbeResult } from '../../replicas/health-probe.ts'
import type { ServiceConfig } from '../../services/service-schema.ts'
import { DeploymentFailed, type StepContext } from './step.ts'

export interface ReplicaCheckDeps {
  runtime: Runtime
  hostnameOf: (serviceId: string) => string
}

/** How long a new replica of this configuration may take to pass. One that need only stay up must be given that long. */
export function checkSeconds(config: ServiceConfig): number {
  const { timeout_seconds, stays_up_seconds } = config.health_check
  return config.internal_port === null ? Math.max(timeout_seconds, stays_up_seconds + 1) : timeout_seconds
}

/** How many of a container's last lines are shown when it exits or never gets well. */
const LAST_LINES = 30

/**
 * Makes what waits until a new replica has passed its health check and answers its container. Throws DeploymentFailed with the reason, its last
 * lines in the log, when it exits or does not get well in time.
 */
export function createReplicaCheck({ runtime, hostnameOf }: ReplicaCheckDeps) {
  const showLastLines = async (context: StepContext, name: string): Promise<void> => {
    context.log('Its last lines:')
    let shown = 0
    for await (const chunk of runtime.followLogs(name, { follow: false, tail: LAST_LINES }, context.signal)) {
      context.log(chunk.line, chunk.stream)
      shown += 1
    }
    if (shown === 0) context.log('(it wrote nothing)')
  }

  const fail = async (context: StepContext, name: string, reason: string): Promise<never> => {
    context.log(reason)
    await showLastLines(context, name)
    throw new DeploymentFailed(reason)
  }

  const look = async (
    { deployment, system }: StepContext,
    container: ContainerInfo,
    signal: AbortSignal,
  ): Promise<ProbeResult> => {
    const { health_check: check, internal_port: port } = deployment.config
    if (port === null) {
      const up = (system.now() - Date.parse(container.started_at ?? '')) / 1000
      return { ok: up >= check.stays_up_seconds, seen: `running for ${up.toFixed(1)} s` }
    }
    if (container.address === null) return { ok: false, seen: 'has no address yet' }
    const hostname = hostnameOf(deployment.service_id)
    return probe({ address: container.address, port, hostname }, check, system, signal)
  }

  return async (context: StepContext, index: number, signal: AbortSignal): Promise<ContainerInfo> => {
    const { deployment, system, log } = context
    const { health_check: check, internal_port: port } = deployment.config
    const name = containerName(deployment.id, index)
    const seconds = checkSeconds(deployment.config)
    const deadline = system.monotonic() + seconds * 1000
    const needed = port === null ? 1 : check.successes
    for (let good = 0; ;) {
      signal.throwIfAborted()
      const container = await runtime.inspectContainer(name)
      if (!container) throw new DeploymentFailed(`Replica ${index} was removed by someone else.`)
      if (container.phase !== 'running')
        return fail(
          context,
          name,
          `Replica ${index} ${exitReason(container)} before it passed its health check.`,
        )
      const { ok, seen } = await look(context, container, signal)
      signal.throwIfAborted()
      good = ok ? good + 1 : 0
      log(`Replica ${index}: ${seen}${ok ? ' (good)' : ' (waiting)'}`)
      if (good >= needed) return container
      const left = deadline - system.monotonic()
      if (left <= 0) {
        const reason = `Replica ${index} did not pass its health check within ${seconds} s (${seen}).`
        return fail(context, name, reason)
      }
      await system.sleep(Math.min(check.interval_ms, left), signal)
    }
  }
}
