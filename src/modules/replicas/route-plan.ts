import type { RouteRules } from '../../ingress/contract/route-rules.ts'
import type { Route } from '../../ingress/contract/route-table.ts'
import type { ReplicaRow, ReplicaState } from './replica-schema.ts'

/** A service with a live release, as far as routing goes. */
export interface RoutedService {
  service_id: string
  /** `<project>/<service>`. */
  label: string
  hostnames: readonly string[]
  /** Those of them whose plain requests are sent on to TLS. */
  https_only: readonly string[]
  /** Of all its hostnames; one object, which the table has once. */
  rules: RouteRules | undefined
  /** By hostname, where its requests are sent on to another one of them. */
  canonical: ReadonlyMap<string, string>
  /** The live one first; with a canary there is another one. */
  releases: readonly { deployment_id: string; port: number }[]
  /** Which of them gets so many percent of the requests. */
  canary: { deployment_id: string; percent: number } | null
  running: boolean
  /** It sleeps when nobody asks for it, and wakes when somebody does. */
  sleeps: boolean
  /** Its replicas write into volumes, so that there are none for a moment whenever they are replaced. */
  stops_first: boolean
  /** A deployment has begun to stop it. */
  taken_over: boolean
}

/** How long a request waits for a service to wake. */
const WAKE_MS = 30_000
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
        ...(service.https_only.includes(hostname) && { https_only: true }),
        ...(service.canonical.has(hostname) && { canonical_host: service.canonical.get(hostname) ?? '' }),
        ...(service.rules && { rules: service.rules }),
        ...holdOf(service, replicas),
        ...(!service.running && { stopped: true }),
        ...(service.canary && { canary: service.canary }),
        upstreams: (service.running ? service.releases : []).flatMap(({ deployment_id, port }) =>
          (byDeployment.get(deployment_id) ?? []).map((replica) => ({
            id: replica.container_name,
            address: replica.address ?? '',
            port,
            deployment_id,
          })),
        ),
      })),
    )
    .toSorted((one, other) => (one.hostname < other.hostname ? -1 : 1))
}

/** How long requests wait when it has no replica, if they do: another one is coming, as far as anyone knows. */
function holdOf(service: RoutedService, replicas: readonly ReplicaRow[]): { hold_ms?: number } {
  if (!service.running) return {}
  if (service.taken_over) return { hold_ms: HOLD_MS }
  const [live] = service.releases
  const own = replicas.filter((row) => row.deployment_id === live?.deployment_id)
  if (own.some((row) => TROUBLED.has(row.status))) return {}
  // What leaves although its release is live has a successor.
  const isReplaced = !service.sleeps && own.some((row) => row.status === 'Draining')
  if (service.stops_first || isReplaced) return { hold_ms: HOLD_MS }
  return service.sleeps ? { hold_ms: WAKE_MS } : {}
}
