import type { ContainerInfo, Runtime } from '../../../runtime/runtime.ts'
import { containerName } from '../../replicas/container-spec.ts'
import { exitReason } from '../../replicas/exit-reason.ts'
import { runningMs } from '../../replicas/replica-plan.ts'
import { probe, type ProbeResult } from '../../replicas/health-probe.ts'
import type { ServiceConfig } from '../../services/service-schema.ts'
import { portHint } from './port-hint.ts'
import { createProbeLog } from './probe-log.ts'
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
  const showLastLines = async (context: StepContext, name: string): Promise<string[]> => {
    context.log('Its last lines:')
    const shown: string[] = []
    for await (const chunk of runtime.followLogs(name, { follow: false, tail: LAST_LINES }, context.signal)) {
      context.log(chunk.line, chunk.stream)
      shown.push(chunk.line)
    }
    if (shown.length === 0) context.log('(it wrote nothing)')
    return shown
  }

  const failExited = async (context: StepContext, name: string, reason: string): Promise<never> => {
    context.log(reason)
    await showLastLines(context, name)
    throw new DeploymentFailed(reason)
  }

  const failUnwell = async (
    context: StepContext,
    name: string,
    reason: string,
    seen: string,
  ): Promise<never> => {
    const { internal_port: port } = context.deployment.config
    context.log(reason)
    const lines = await showLastLines(context, name)
    if (port === null || !seen.includes('ECONNREFUSED')) throw new DeploymentFailed(reason)
    const image = await runtime.findImage(context.deployment.image ?? '')
    throw new DeploymentFailed(reason + portHint(port, { lines, exposed: image?.exposed_ports ?? [] }))
  }

  const look = async (
    { deployment, system }: StepContext,
    container: ContainerInfo,
    signal: AbortSignal,
  ): Promise<ProbeResult> => {
    const { health_check: check, internal_port: port } = deployment.config
    if (port === null) {
      const up = runningMs(container, system.now()) / 1000
      return { ok: up >= check.stays_up_seconds, seen: `running for ${up.toFixed(1)} s` }
    }
    if (container.address === null) return { ok: false, seen: 'has no address yet' }
    const hostname = hostnameOf(deployment.service_id)
    return probe({ address: container.address, port, hostname }, check, system, signal)
  }

  return async (context: StepContext, index: number, signal: AbortSignal): Promise<ContainerInfo> => {
    const { deployment, system } = context
    const { health_check: check, internal_port: port } = deployment.config
    const probes = createProbeLog(context.log, index, system)
    const name = containerName(deployment.id, index)
    const seconds = checkSeconds(deployment.config)
    const deadline = system.monotonic() + seconds * 1000
    const needed = port === null ? 1 : check.successes
    for (let good = 0; ;) {
      signal.throwIfAborted()
      const container = await runtime.inspectContainer(name)
      if (container?.phase !== 'running') probes.flush()
      if (!container) throw new DeploymentFailed(`Replica ${index} was removed by someone else.`)
      if (container.phase !== 'running')
        return failExited(
          context,
          name,
          `Replica ${index} ${exitReason(container)} before it passed its health check.`,
        )
      const { ok, seen } = await look(context, container, signal)
      signal.throwIfAborted()
      good = ok ? good + 1 : 0
      probes.note({ ok, seen }, port === null ? 'running' : seen)
      if (good >= needed) return container
      const left = deadline - system.monotonic()
      if (left <= 0) {
        const reason = `Replica ${index} did not pass its health check within ${seconds} s (${seen}).`
        probes.flush()
        return failUnwell(context, name, reason, seen)
      }
      await system.sleep(Math.min(check.interval_ms, left), signal)
    }
  }
}
