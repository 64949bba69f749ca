import { isAppError } from '../../../lib/errors.ts'
import { LABELS } from '../../../runtime/labels.ts'
import { ContainerRefused, type ContainerInfo, type Runtime } from '../../../runtime/runtime.ts'
import { containerName, networkName, replicaSpec } from '../../replicas/container-spec.ts'
import { exitReason } from '../../replicas/exit-reason.ts'
import { probe, type ProbeResult } from '../../replicas/health-probe.ts'
import type { ReplicaState, ReplicaStore } from '../../replicas/replica-store.ts'
import type { DeploymentRow } from '../deployment-schema.ts'
import { DeploymentFailed, type StepContext, type StepWork } from './step.ts'

export interface StartStepDeps {
  runtime: Runtime
  replicas: ReplicaStore
  openEnv: (sealed: string) => Promise<Readonly<Record<string, string>>>
  /** How many replicas the service wants. */
  wantedReplicas: (serviceId: string) => number
  hostnameOf: (serviceId: string) => string
}

/** How many of a container's last lines are shown when it exits or never gets well. */
const LAST_LINES = 30

/** The steps that bring new replicas up beside the old ones. */
export function createStartSteps(deps: StartStepDeps): Record<'start' | 'check', StepWork> {
  const { runtime, replicas } = deps

  /** A service that is scaled to nothing still proves its release with one replica, which goes when it is routed. */
  const indexesOf = (deployment: DeploymentRow): number[] =>
    Array.from({ length: Math.max(1, deps.wantedReplicas(deployment.service_id)) }, (_, index) => index)

  const save = (context: StepContext, index: number, status: ReplicaState, address: string | null): void => {
    const { deployment, system } = context
    replicas.save({
      container_name: containerName(deployment.id, index),
      service_id: deployment.service_id,
      deployment_id: deployment.id,
      replica_index: index,
      status,
      address,
      restarts: 0,
      reason: null,
      next_start_at: null,
      updated_at: system.nowIso(),
    })
  }

  const startReplica = async (
    context: StepContext,
    index: number,
    env: Readonly<Record<string, string>>,
  ): Promise<void> => {
    const { deployment, service_name } = context
    const spec = replicaSpec({ service_name, deployment, env }, index)
    try {
      await runtime.ensureContainer(spec)
      await runtime.startContainer(spec.name)
    } catch (error) {
      if (error instanceof ContainerRefused)
        throw new DeploymentFailed(`Replica ${index} could not start: ${error.message}`)
      if (isAppError(error, 'NOT_FOUND'))
        throw new DeploymentFailed('The image is no longer in the engine. Deploy the source again.')
      throw error
    }
    const container = await runtime.inspectContainer(spec.name)
    save(context, index, 'Starting', container?.address ?? null)
    context.log(`Replica ${index} started.`)
  }

  const showLastLines = async (context: StepContext, name: string): Promise<void> => {
    context.log('Its last lines:')
    let shown = 0
    for await (const chunk of runtime.followLogs(name, { follow: false, tail: LAST_LINES }, context.signal)) {
      context.log(chunk.line, chunk.stream)
      shown += 1
    }
    if (shown === 0) context.log('(it wrote nothing)')
  }

  const fail = async (context: StepContext, index: number, reason: string): Promise<never> => {
    context.log(reason)
    await showLastLines(context, containerName(context.deployment.id, index))
    throw new DeploymentFailed(reason)
  }

  const requireRunning = async (context: StepContext, index: number): Promise<ContainerInfo> => {
    const container = await runtime.inspectContainer(containerName(context.deployment.id, index))
    if (!container) throw new DeploymentFailed(`Replica ${index} was removed by someone else.`)
    if (container.phase !== 'running') {
      return fail(
        context,
        index,
        `Replica ${index} ${exitReason(container)} before it passed its health check.`,
      )
    }
    return container
  }

  const look = async (context: StepContext, container: ContainerInfo): Promise<ProbeResult> => {
    const { config, service_id } = context.deployment
    if (config.internal_port === null) {
      const up = (context.system.now() - Date.parse(container.started_at ?? '')) / 1000
      return { ok: up >= config.health_check.stays_up_seconds, seen: `running for ${up.toFixed(1)} s` }
    }
    if (container.address === null) return { ok: false, seen: 'has no address yet' }
    return probe(
      { address: container.address, port: config.internal_port, hostname: deps.hostnameOf(service_id) },
      config.health_check,
      context.signal,
    )
  }

  const checkReplica = async (context: StepContext, index: number): Promise<void> => {
    const { health_check: check, internal_port } = context.deployment.config
    const deadline = context.system.monotonic() + check.timeout_seconds * 1000
    const needed = internal_port === null ? 1 : check.successes
    let good = 0
    while (good < needed) {
      const container = await requireRunning(context, index)
      const result = await look(context, container)
      context.signal.throwIfAborted()
      good = result.ok ? good + 1 : 0
      context.log(`Replica ${index}: ${result.seen}${result.ok ? ' (good)' : ' (waiting)'}`)
      if (good >= needed) {
        save(context, index, 'Healthy', container.address)
        return
      }
      if (context.system.monotonic() >= deadline) {
        await fail(
          context,
          index,
          `Replica ${index} did not pass its health check within ${check.timeout_seconds} s (${result.seen}).`,
        )
      }
      await context.system.sleep(check.interval_ms, context.signal)
    }
  }

  return {
    start: async (context) => {
      const { deployment } = context
      await runtime.ensureNetwork({
        name: networkName(deployment.project_id),
        labels: { [LABELS.kind]: 'network', [LABELS.project]: deployment.project_id },
      })
      const env = deployment.env_sealed === null ? {} : await deps.openEnv(deployment.env_sealed)
      for (const index of indexesOf(deployment)) await startReplica(context, index, env)
    },

    check: async (context) => {
      const abort = new AbortController()
      const signal = AbortSignal.any([context.signal, abort.signal])
      try {
        await Promise.all(
          indexesOf(context.deployment).map((index) => checkReplica({ ...context, signal }, index)),
        )
      } finally {
        // The first failure decides; the other replicas need not be looked at any longer.
        abort.abort()
      }
      context.log('All replicas are healthy.')
    },
  }
}
