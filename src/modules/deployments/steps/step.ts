import type { System } from '../../../lib/system.ts'
import type { ReplicaRow } from '../../replicas/replica-schema.ts'
import type { DeploymentRow } from '../deployment-schema.ts'

/** What a step gets. */
export interface StepContext {
  deployment: DeploymentRow
  service_name: string
  project_name: string
  /** Aborts on cancellation, when the daemon stops, and when the step's time is up. */
  signal: AbortSignal
  /** Adds a line to the deployment's log. */
  log: (line: string, stream?: 'status' | 'stdout' | 'stderr') => void
  system: System
}

/**
 * The work of one step: "ensure"-shaped, so that it can run again after any crash. What it answers is run in the transaction that
 * records the step as done.
 */
export type StepWork = (context: StepContext) => Promise<(() => void) | void>

/** The rows of replicas, as far as deployments write them. */
export interface ReplicaRows {
  listByDeployment: (deploymentId: string) => ReplicaRow[]
  listByService: (serviceId: string) => ReplicaRow[]
  save: (replica: ReplicaRow) => void
  /** Takes the replicas of a release out of the routes. */
  markDraining: (deploymentId: string, now: string) => void
  remove: (containerName: string) => void
}

/** The deployment's own fault: the message is its reason, for people. */
export class DeploymentFailed extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'DeploymentFailed'
  }
}

/** Why a step's signal aborted. */
export class StepAborted extends Error {
  readonly why: 'cancelled' | 'shutdown' | 'timeout'

  constructor(why: 'cancelled' | 'shutdown' | 'timeout') {
    super(`The step was stopped: ${why}.`)
    this.name = 'StepAborted'
    this.why = why
  }
}
