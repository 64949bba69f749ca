import { orAborted } from '../../../lib/abortable.ts'
import { isAppError } from '../../../lib/errors.ts'
import { LABELS } from '../../../runtime/labels.ts'
import {
  ContainerRefused,
  type ContainerInfo,
  type ContainerSpec,
  type MountSpec,
  type Runtime,
} from '../../../runtime/runtime.ts'
import { containerName, networkName, replicaSpec } from '../../replicas/container-spec.ts'
import type { OpenReleaseEnv } from '../release-env.ts'
import { wellAt } from '../../replicas/replica-plan.ts'
import type { ReplicaRow } from '../../replicas/replica-schema.ts'
import type { DeploymentRow } from '../deployment-schema.ts'
import type { ReleaseLibrary } from '../release-library.ts'
import { restoreImage } from './image-restoration.ts'
import { writesVolumes } from '../../services/service-schema.ts'
import { VolumeLost } from '../../volumes/volume-schema.ts'
import { createReplicaCheck } from './replica-check.ts'
import { createStopFirst, type StopFirstDeps } from './stop-first.ts'
import { DeploymentFailed, type ReplicaRows, type StepContext, type StepWork } from './step.ts'

export interface StartStepDeps extends StopFirstDeps {
  runtime: Runtime
  replicas: ReplicaRows
  library: Pick<ReleaseLibrary, 'restore'>
  openEnv: OpenReleaseEnv
  /** How many replicas the service wants. */
  wantedReplicas: (deployment: DeploymentRow) => number
  /** Starts replicas with their volumes; false when another release has them. */
  startAlone: (
    deployment: DeploymentRow,
    start: (mounts: readonly MountSpec[]) => Promise<void>,
  ) => Promise<boolean>
  /** Throws VolumeLost when the engine has lost a volume of the release. */
  requireNoneLost: (deployment: DeploymentRow) => Promise<void>
  /** Lets every other release of the service that has volumes leave, then starts. */
  takeOver: (
    deployment: DeploymentRow,
    leave: (rival: ContainerInfo) => Promise<void>,
    start: (mounts: readonly MountSpec[]) => Promise<void>,
  ) => Promise<void>
  hostnameOf: (serviceId: string) => string
}

/** The steps that bring new replicas up beside the old ones. */
export function createStartSteps(deps: StartStepDeps): Record<'start' | 'check', StepWork> {
  const { runtime, replicas } = deps
  const checkReplica = createReplicaCheck(deps)
  const stopFirst = createStopFirst(deps)

  const startReplica = async (
    context: StepContext,
    index: number,
    env: Readonly<Record<string, string>>,
    mounts: readonly MountSpec[],
  ): Promise<void> => {
    const { deployment, service_name, signal, system } = context
    const spec = replicaSpec({ service_name, deployment, env, mounts }, index)
    signal.throwIfAborted()
    // Not left alone when the signal aborts: the turn of the service must not end before it.
    await ensureContainer(deps, spec, context)
    signal.throwIfAborted()
    await startContainer(runtime, spec)
    replicas.save(startedRow(deployment, index, system.nowIso()))
    context.log(`Replica ${index} started.`)
  }

  const saveHealthy = (context: StepContext, row: ReplicaRow, container: ContainerInfo): void => {
    replicas.save({
      ...row,
      status: 'Healthy',
      address: container.address,
      updated_at: wellAt(container, context.system.nowIso()),
    })
  }

  return {
    start: async (context) => {
      const { deployment, signal } = context
      const network = {
        name: networkName(deployment.project_id),
        labels: { [LABELS.kind]: 'network', [LABELS.project]: deployment.project_id },
      }
      await orAborted(runtime.ensureNetwork(network), signal)
      const env = await deps.openEnv(deployment.id)
      const start = async (mounts: readonly MountSpec[]): Promise<void> => {
        for (const index of indexesOf(deps.wantedReplicas(deployment)))
          await startReplica(context, index, env, mounts)
      }
      if (!writesVolumes(deployment.config))
        return orAborted(deps.startAlone(deployment, start).then(requireStarted, failOfLoss), signal)
      // The release before it is not stopped for one that cannot start.
      await orAborted(deps.requireNoneLost(deployment).catch(failOfLoss), signal)
      await stopFirst.drain(context)
      await orAborted(
        deps.takeOver(deployment, (rival) => stopFirst.leave(context, rival), start).catch(failOfLoss),
        signal,
      )
    },

    check: async (context) => {
      // Those that were started, however many are wanted by now: the reconciler evens that out once it is live.
      const rows = replicas.listByDeployment(context.deployment.id)
      if (rows.length === 0) throw new DeploymentFailed('No replica was started.')
      const failed = new AbortController()
      const signal = AbortSignal.any([context.signal, failed.signal])
      const checks = rows.map(async (row) => {
        try {
          saveHealthy(context, row, await checkReplica(context, row.replica_index, signal))
        } catch (error) {
          // The first failure decides; the other replicas need not be looked at any longer.
          failed.abort(error)
          throw error
        }
      })
      await Promise.allSettled(checks)
      context.signal.throwIfAborted()
      failed.signal.throwIfAborted()
      context.log('All replicas are healthy.')
    },
  }
}

function requireStarted(started: boolean): void {
  if (!started) throw new DeploymentFailed('Another release of the service has its volumes.')
}

function failOfLoss(error: unknown): never {
  throw error instanceof VolumeLost ? new DeploymentFailed(error.message) : error
}

/** A service that is scaled to nothing still proves its release with one replica, which goes when it is routed. */
function indexesOf(wantedReplicas: number): number[] {
  return Array.from({ length: Math.max(1, wantedReplicas) }, (_, index) => index)
}

function startedRow(deployment: DeploymentRow, index: number, now: string): ReplicaRow {
  return {
    container_name: containerName(deployment.id, index),
    service_id: deployment.service_id,
    deployment_id: deployment.id,
    replica_index: index,
    status: 'Starting',
    address: null,
    restarts: 0,
    reason: null,
    next_start_at: null,
    updated_at: now,
  }
}

async function ensureContainer(
  deps: StartStepDeps,
  spec: ContainerSpec,
  context: StepContext,
): Promise<void> {
  try {
    await deps.runtime.ensureContainer(spec)
  } catch (error) {
    if (!isAppError(error, 'NOT_FOUND')) throw refusalOf(spec, error)
    await restoreImage(deps.library, { id: context.deployment.id, image: spec.image }, context.signal)
    context.log('The engine had lost the image; it is back from the registry of this node.')
    await deps.runtime.ensureContainer(spec).catch((again: unknown) => {
      throw refusalOf(spec, again)
    })
  }
}

async function startContainer(runtime: Runtime, spec: ContainerSpec): Promise<void> {
  try {
    await runtime.startContainer(spec.name)
  } catch (error) {
    throw refusalOf(spec, error)
  }
}

function refusalOf(spec: ContainerSpec, error: unknown): unknown {
  if (!(error instanceof ContainerRefused)) return error
  return new DeploymentFailed(`Replica ${spec.labels[LABELS.replica]} could not start: ${error.message}`)
}
