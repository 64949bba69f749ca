import { canaryReplicas, type ServiceRow, type ServiceStatus } from './service-schema.ts'
import type { Canary } from './service-view-schema.ts'

/** What is known of a service's replicas and deployments at this moment. */
export interface Observation {
  /** Replicas of the live release that passed their check. */
  healthy: number
  /** Replicas that exist, healthy or not. */
  total: number
  /** A replica is not started again at once because it keeps exiting. */
  crash_loop: boolean
  /** Why a replica of the live release is not well, or why there is no release yet, as far as that is known. */
  trouble: string | null
  /** Replicas of the canary that passed their check. */
  canary_healthy: number
  /** A deployment is waiting or under way. */
  open_deployment: boolean
}

/** What holds for a service of which nothing was seen yet. */
export const NOTHING_OBSERVED: Observation = {
  healthy: 0,
  total: 0,
  crash_loop: false,
  trouble: null,
  canary_healthy: 0,
  open_deployment: false,
}

/** The release that runs beside the live one, as it is answered. */
export function viewCanary(
  service: Pick<ServiceRow, 'replicas' | 'canary_deployment_id' | 'canary_percent'>,
  observed: Observation,
): Canary | null {
  const { canary_deployment_id: id, canary_percent: percent } = service
  if (id === null || percent === null) return null
  return {
    deployment_id: id,
    percent,
    replicas: canaryReplicas(service.replicas, percent),
    healthy_replicas: observed.canary_healthy,
  }
}

/** Why a service is Degraded, in a CrashLoop or still New; null when it is not, or when nothing is known yet. */
export function statusReason(status: ServiceStatus, { trouble }: Observation): string | null {
  return ['Degraded', 'CrashLoop', 'New'].includes(status) ? trouble : null
}

/** The status of a service: derived from what is wanted and what is there, never stored. */
export function serviceStatus(
  service: Pick<ServiceRow, 'desired_state' | 'replicas' | 'autoscale' | 'live_deployment_id'>,
  observed: Observation,
): ServiceStatus {
  if (observed.open_deployment) return 'Deploying'
  if (service.live_deployment_id === null) return 'New'
  if (service.desired_state !== 'running') return 'Stopped'
  if (service.replicas === 0) return service.autoscale?.min_replicas === 0 ? 'Sleeping' : 'Stopped'
  if (observed.healthy >= service.replicas) return 'Running'
  if (observed.crash_loop && observed.healthy === 0) return 'CrashLoop'
  return 'Degraded'
}
