import { createWorker, type Worker } from '../../lib/worker.ts'
import type { DeploymentRow } from './deployment-schema.ts'
import { runDeployment, type RunnerDeps } from './deployment-runner.ts'
import { StepAborted } from './steps/step.ts'

export interface DeploymentQueue {
  worker: Worker
  /** Stops what is under way where it stands, and waits until it has. */
  stop(): Promise<void>
  /** Waits until nothing of this service is under way. */
  idle(serviceId: string): Promise<void>
}

interface Running {
  deployment: DeploymentRow
  abort: AbortController
  ended: Promise<void>
}

/** Starts deployments in order, one of a service at a time, as many at once as the node allows. */
export function createDeploymentQueue(deps: RunnerDeps & { concurrency: number }): DeploymentQueue {
  const running = new Map<string, Running>()
  let stopping = false

  const start = (deployment: DeploymentRow): void => {
    const abort = new AbortController()
    const ended = runDeployment(deps, deployment.id, abort.signal)
      .catch((error: unknown) => deps.onInternalError(error, deployment))
      .finally(() => {
        running.delete(deployment.service_id)
        worker.nudge()
      })
    running.set(deployment.service_id, { deployment, abort, ended })
  }

  const look = (): void => {
    for (const deployment of deps.store.listOpen()) {
      const current = running.get(deployment.service_id)
      if (current?.deployment.id === deployment.id) {
        if (deployment.cancel_requested && deployment.status !== 'Healthy')
          current.abort.abort(new StepAborted('cancelled'))
      } else if (!current && running.size < deps.concurrency && !stopping) start(deployment)
    }
  }

  const worker = createWorker({
    name: 'deployments',
    system: deps.system,
    everyMs: 5_000,
    run: async () => look(),
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
      await running.get(serviceId)?.ended
    },
  }
}
