import type { Route } from '../../ingress/route-table.ts'
import type { ReplicaRow, ReplicaState } from './replica-schema.ts'

/** A service with a live release, as far as routing goes. */
export interface RoutedService {
  service_id: string
  /** `<project>/<service>`. */
  label: string
  hostnames: readonly string[]
  deployment_id: string
  port: number
  running: boolean
  /** Its replicas write into volumes, so that there are none for a moment whenever they are replaced. */
  stops_first: boolean
  /** A deployment has begun to stop it. */
  taken_over: boolean
}

/** Longer than a replacement usually takes; then it is better to be told. */
const HOLD_MS = 120_000
/** What does not get well by waiting. */
const TROUBLED: ReadonlySet<ReplicaState> = new Set(['CrashLoop', 'Exited', 'Unhealthy'])

/** The routes that follow from what is live and well: a pure function, in a fixed order. */
export function planRoutes(services: readonly RoutedService[], replicas: readonly ReplicaRow[]): Route[] {
  const byDeployment = Map.groupBy(
    replicas.filter((replica) => replica.status === 'Healthy' && replica.address !== null),
    (replica) => replica.deployment_id,
  )
  return services
    .flatMap((service) =>
      service.hostnames.map((hostname) => ({
        hostname,
        label: service.label,
        service_id: service.service_id,
        ...(isReplaced(service, replicas) && { hold_ms: HOLD_MS }),
        upstreams: service.running
          ? (byDeployment.get(service.deployment_id) ?? []).map((replica) => ({
              id: replica.container_name,
              address: replica.address ?? '',
              port: service.port,
              deployment_id: replica.deployment_id,
            }))
          : [],
      })),
    )
    .toSorted((one, other) => (one.hostname < other.hostname ? -1 : 1))
}

/** Whether requests are to wait when it has no replica: another one is coming, as far as anyone knows. */
function isReplaced(service: RoutedService, replicas: readonly ReplicaRow[]): boolean {
  if (!service.running) return false
  if (service.taken_over) return true
  return (
    service.stops_first &&
    !replicas.some((row) => row.deployment_id === service.deployment_id && TROUBLED.has(row.status))
  )
}
