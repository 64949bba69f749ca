import { diskFullOf } from '../../lib/disk-trouble.ts'
import { createWorker, type Worker } from '../../lib/worker.ts'
import type { DeploymentRow } from './deployment-schema.ts'
import { runDeployment, type RunnerDeps } from './deployment-runner.ts'
import { StepAborted } from './steps/step.ts'

export interface DeploymentQueue {
  worker: Worker
  /** Stops what is under way where it stands, and waits until it has. */
  stop(): Promise<void>
  /** Waits until nothing of this service is under way; what is cancelled or of a deleted service ends soon. */
  idle(serviceId: string): Promise<void>
}

export interface DeploymentQueueDeps extends RunnerDeps {
  /** How many run at once. Those that build have as many places of their own: nobody waits with a rollback for the builds of others. */
  concurrency: number
  builds: (deployment: DeploymentRow) => boolean
  onQueueError: (error: unknown) => void
}

interface Running {
  deployment: DeploymentRow
  abort: AbortController
  ended: Promise<void>
}

/** Starts deployments in order, one of a service at a time, as many at once as the node allows. */
export function createDeploymentQueue(deps: DeploymentQueueDeps): DeploymentQueue {
  const running = new Map<string, Running>()
  /** Ids of deployments that this daemon has begun to work on and that are not over, and whether their log says that they wait for room. */
  const begun = new Map<string, { isWaiting: boolean }>()
  let stopping = false

  const run = async (deployment: DeploymentRow, signal: AbortSignal): Promise<void> => {
    const isFirst = !begun.has(deployment.id)
    if (isFirst) begun.set(deployment.id, { isWaiting: false })
    try {
      await runDeployment(deps, deployment.id, isFirst, signal)
      begun.delete(deployment.id)
      running.delete(deployment.service_id)
      worker.nudge()
    } catch (error) {
      // Nothing could be recorded: the next look, seconds from now, tries again.
      running.delete(deployment.service_id)
      if (diskFullOf(error) !== undefined) sayWaiting(deployment)
      deps.onInternalError(error, deployment)
    }
  }

  const sayWaiting = ({ id, step }: DeploymentRow): void => {
    const state = begun.get(id)
    if (!state || state.isWaiting) return
    state.isWaiting = true
    deps.appendLog(id, { step, stream: 'status', line: 'Waiting: the disk of the node is full.' })
  }

  const start = (deployment: DeploymentRow): void => {
    const abort = new AbortController()
    const entry = { deployment, abort, ended: Promise.resolve() }
    running.set(deployment.service_id, entry)
    entry.ended = run(deployment, abort.signal)
  }

  /** What is live and only watches or drains takes no place. */
  const hasPlace = (deployment: DeploymentRow, open: readonly DeploymentRow[]): boolean => {
    const isBuild = deps.builds(deployment)
    const lane = open.filter(
      (other) =>
        running.get(other.service_id)?.deployment.id === other.id &&
        other.step !== 'retire' &&
        deps.builds(other) === isBuild,
    )
    return lane.length < deps.concurrency
  }

  const look = (): void => {
    const open = deps.store.listOpen()
    for (const deployment of open) {
      const current = running.get(deployment.service_id)
      if (current?.deployment.id === deployment.id) {
        const isCancelled = deployment.cancel_requested && deployment.status !== 'Healthy'
        if (isCancelled || !deps.namesOf(deployment)) current.abort.abort(new StepAborted('cancelled'))
      } else if (!current && !stopping && hasPlace(deployment, open)) start(deployment)
    }
  }

  const worker = createWorker({
    name: 'deployments',
    system: deps.system,
    everyMs: 5_000,
    run: async () => look(),
    onError: deps.onQueueError,
  })

  return {
    worker,
    stop: async () => {
      stopping = true
      await worker.stop()
      for (const { abort } of running.values()) abort.abort(new StepAborted('shutdown'))
      await Promise.all([...running.values()].map(({ ended }) => ended))
    },
    idle: async (serviceId) => {
      worker.nudge()
      for (;;) {
        const current = running.get(serviceId)
        if (!current) return
        await current.ended
      }
    },
  }
}
