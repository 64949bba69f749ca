import type { System } from '../../lib/system.ts'
import type { Database } from '../../store/database.ts'
import type { RecordAudit } from '../audit/audit.ts'
import { BERTH_ITSELF } from '../identity/context.ts'
import type { DesiredState, ServiceRow } from '../services/service-schema.ts'
import { endCanary, type ReleaseCanaryDeps } from './release-canary.ts'
import type { DeploymentRow } from './deployment-schema.ts'
import type { DeploymentStore } from './deployment-store.ts'
import type { ReplicaRow } from '../replicas/replica-schema.ts'
import { DeploymentFailed, type ReplicaRows, StepAborted } from './steps/step.ts'

export interface ReleaseSwapDeps {
  database: Database
  system: System
  store: DeploymentStore
  recordAudit: RecordAudit
  services: {
    find: (id: string) => ServiceRow | undefined
    setLive: (id: string, deploymentId: string, now: string) => void
    setDesiredState: (id: string, state: DesiredState, now: string) => void
    setCanary: ReleaseCanaryDeps['services']['setCanary']
  }
  /** Takes the replicas of a release out of the routes. */
  markDraining: (deploymentId: string, now: string) => void
}

export interface MakeLiveDeps extends ReleaseSwapDeps {
  /** When the contents of one of the release's volumes were last restored (RFC 3339); null: never. */
  lastRestoreOf: (release: Pick<DeploymentRow, 'service_id' | 'config'>) => string | null
}

export interface SwapBackDeps extends ReleaseSwapDeps {
  replicas: Pick<ReplicaRows, 'listByDeployment' | 'save'>
  /** Called after the commit. */
  over: (deploymentId: string) => void
}

/**
 * Makes a release the live one of its service: from this commit on the routes that are planned lead to it. Repeating it changes nothing.
 * Answers the release that it replaced. Throws DeploymentFailed when the service went away meanwhile, StepAborted when it was cancelled.
 */
export function makeLive(deps: MakeLiveDeps, deploymentId: string): string | null {
  const { database, store, services } = deps
  return database.transact(() => {
    const deployment = store.find(deploymentId)
    const service = deployment && services.find(deployment.service_id)
    if (!deployment || !service) throw new DeploymentFailed('The service was deleted.')
    const before = service.live_deployment_id
    if (before === deploymentId) return deployment.replaces_id
    // The last instant at which it can be cancelled.
    if (deployment.cancel_requested) throw new StepAborted('cancelled')
    const now = deps.system.nowIso()
    endCanary(deps, service, 'Inactive', `Ended when deployment ${deployment.number} became live.`)
    services.setLive(service.id, deploymentId, now)
    // Whoever deploys a stopped service wants it to run.
    if (service.desired_state === 'stopped') services.setDesiredState(service.id, 'running', now)
    store.setStatus(deploymentId, 'Healthy', now)
    store.setRouted(deploymentId, before, now)
    if (before !== null) {
      store.setStatus(before, 'Inactive', now)
      deps.markDraining(before, now)
    }
    // Replicas that were started before a restore have what it took the place of: requests wait for others.
    const restoredAt = deps.lastRestoreOf(deployment)
    const startedAt = store.listSteps([deploymentId]).find(({ step }) => step === 'start')?.started_at
    if (restoredAt !== null && startedAt !== undefined && restoredAt >= startedAt)
      deps.markDraining(deploymentId, now)
    deps.recordAudit(BERTH_ITSELF, {
      action: 'makeReleaseLive',
      resource_kind: 'deployment',
      resource_id: deploymentId,
      project_id: deployment.project_id,
      details: { service: service.name, number: deployment.number },
    })
    return before
  })
}

/**
 * Makes the release that a deployment replaced the live one again, and ends the deployment as failed: from this commit on the routes that
 * are planned lead to those of its replicas that are well. False, with nothing changed, when the deployment is over or not live any more.
 */
export function swapBack(
  deps: SwapBackDeps,
  deploymentId: string,
  well: readonly ReplicaRow[],
  reason: string,
): boolean {
  const { database, store, services } = deps
  return database.transact(() => {
    const deployment = store.find(deploymentId)
    const service = deployment && services.find(deployment.service_id)
    const old = store.find(deployment?.replaces_id ?? '')
    if (!deployment || deployment.step === null || !old || service?.live_deployment_id !== deploymentId)
      return false
    const now = deps.system.nowIso()
    services.setLive(service.id, old.id, now)
    store.setStatus(old.id, 'Healthy', now)
    store.endStep(deploymentId, deployment.step, 'failed', now)
    store.finish(deploymentId, 'Failed', reason, now)
    deps.markDraining(deploymentId, now)
    const isWell = new Set(well.map(({ container_name }) => container_name))
    for (const row of deps.replicas.listByDeployment(old.id)) {
      const fields = isWell.has(row.container_name)
        ? { status: 'Healthy' as const }
        : { status: 'Starting' as const, address: null }
      deps.replicas.save({ ...row, ...fields, updated_at: now })
    }
    deps.recordAudit(BERTH_ITSELF, {
      action: 'rollBackRelease',
      resource_kind: 'deployment',
      resource_id: deploymentId,
      project_id: deployment.project_id,
      details: { service: service.name, number: deployment.number, to: old.number, reason },
    })
    database.afterCommit(() => deps.over(deploymentId))
    return true
  })
}
