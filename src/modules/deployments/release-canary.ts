import { AppError } from '../../lib/errors.ts'
import type { System } from '../../lib/system.ts'
import type { Database } from '../../store/database.ts'
import type { RecordAudit } from '../audit/audit.ts'
import { BERTH_ITSELF } from '../identity/context.ts'
import type { ServiceConfig, ServiceRow } from '../services/service-schema.ts'
import type { DeploymentRow } from './deployment-schema.ts'
import type { DeploymentStore } from './deployment-store.ts'
import { DeploymentFailed, StepAborted } from './steps/step.ts'

export interface ReleaseCanaryDeps {
  database: Database
  system: System
  store: DeploymentStore
  recordAudit: RecordAudit
  services: {
    find: (id: string) => ServiceRow | undefined
    setCanary: (id: string, canary: { deployment_id: string; percent: number } | null, now: string) => void
  }
  /** Takes the replicas of a release out of the routes. */
  markDraining: (deploymentId: string, now: string) => void
}

/** Throws what keeps a service from running a second release beside the live one. */
export function requireCanary(service: ServiceRow, config: ServiceConfig): void {
  if (service.live_deployment_id === null)
    throw new AppError('NOTHING_TO_DEPLOY', { message: 'A canary needs a live release beside it.' })
  if (service.desired_state !== 'running')
    throw new AppError('CONFLICT', { message: 'The service is stopped; a canary would get no requests.' })
  if (config.volumes.length > 0 || service.config.volumes.length > 0)
    throw refused('A service with volumes runs one release at a time.')
  if (config.internal_port === null)
    throw refused('A service that listens on nothing has no requests to share.')
}

function refused(message: string): AppError {
  return new AppError('POLICY_REFUSED', { details: [{ field: 'canary_percent', message }] })
}

/**
 * Makes a release the canary of its service, instead of the one before it: from this commit on the routes that are planned give it its share.
 * Repeating it changes nothing. Throws DeploymentFailed when there is no live release to share with any more, StepAborted when it was ended.
 */
export function makeCanary(deps: ReleaseCanaryDeps, deploymentId: string): void {
  const { database, store, services } = deps
  database.transact(() => {
    const deployment = store.find(deploymentId)
    const service = deployment && services.find(deployment.service_id)
    const percent = deployment?.canary_percent ?? null
    if (!deployment || !service || percent === null) throw new DeploymentFailed('The service was deleted.')
    if (service.canary_deployment_id === deploymentId) return
    if (deployment.step === null || deployment.cancel_requested) throw new StepAborted('cancelled')
    if (service.live_deployment_id === null || service.desired_state !== 'running')
      throw new DeploymentFailed('The service was stopped.')
    const now = deps.system.nowIso()
    endCanary(deps, service, 'Inactive', `Replaced by the canary ${deployment.number}.`)
    services.setCanary(service.id, { deployment_id: deploymentId, percent }, now)
    store.setStatus(deploymentId, 'Healthy', now)
    store.setRouted(deploymentId, null, now)
    deps.recordAudit(BERTH_ITSELF, {
      action: 'makeReleaseCanary',
      resource_kind: 'deployment',
      resource_id: deploymentId,
      project_id: deployment.project_id,
      details: { service: service.name, number: deployment.number, percent },
    })
  })
}

/** Ends the canary of a service, if it has one, inside the caller's transaction: its replicas finish their requests and go. Answers it. */
export function endCanary(
  deps: Pick<ReleaseCanaryDeps, 'system' | 'store' | 'services' | 'markDraining'>,
  service: ServiceRow,
  status: 'Inactive' | 'Cancelled',
  reason: string,
): DeploymentRow | undefined {
  const canary = deps.store.find(service.canary_deployment_id ?? '')
  if (!canary) return undefined
  const now = deps.system.nowIso()
  deps.services.setCanary(service.id, null, now)
  if (canary.step !== null) deps.store.endStep(canary.id, canary.step, 'done', now)
  deps.store.end(canary.id, status, reason, now)
  deps.markDraining(canary.id, now)
  return canary
}
