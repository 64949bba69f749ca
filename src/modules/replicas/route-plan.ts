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
  /** It sleeps when nobody asks for it, and wakes when somebody does. */
  sleeps: boolean
}

/** How long a request waits for a service to wake. */
const WAKE_MS = 30_000
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
        ...(isWaking(service, replicas) && { hold_ms: WAKE_MS }),
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

/** Whether a request that finds no replica is worth keeping: one is started for it, as far as anyone knows. */
function isWaking(service: RoutedService, replicas: readonly ReplicaRow[]): boolean {
  return (
    service.running &&
    service.sleeps &&
    !replicas.some((row) => row.deployment_id === service.deployment_id && TROUBLED.has(row.status))
  )
}
