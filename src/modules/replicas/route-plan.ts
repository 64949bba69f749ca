import type { RouteRules } from '../../ingress/rules/route-rules.ts'
import type { Route } from '../../ingress/route-table.ts'
import type { ReplicaRow } from './replica-schema.ts'

/** A service with a live release, as far as routing goes. */
export interface RoutedService {
  service_id: string
  /** `<project>/<service>`. */
  label: string
  hostnames: readonly string[]
  /** Those of them whose plain requests are sent on to TLS. */
  https_only: readonly string[]
  /** By hostname. */
  rules: ReadonlyMap<string, RouteRules | undefined>
  deployment_id: string
  port: number
  running: boolean
}

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
        ...withRules(service.rules.get(hostname)),
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

function withRules(rules: RouteRules | undefined): Pick<Route, 'rules'> {
  return rules === undefined ? {} : { rules }
}
