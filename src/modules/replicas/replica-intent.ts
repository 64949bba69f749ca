import type { DeploymentRow } from '../deployments/deployment-schema.ts'
import type { ServiceSummary } from '../services/service-schema.ts'
import type { Observation } from '../services/service-status.ts'
import type { ReplicaIntent } from './replica-plan.ts'
import type { ReplicaStore } from './replica-store.ts'
import type { RoutedService } from './route-plan.ts'

/** What of other modules the reconciler reads. */
export interface ReplicaSources {
  listServices: () => readonly ServiceSummary[]
  listDeleting: () => readonly ServiceSummary[]
  findDeployment: (id: string) => DeploymentRow | undefined
  listOpenDeployments: () => readonly DeploymentRow[]
  projectNameOf: (projectId: string) => string | undefined
  hostnamesOf: (service: ServiceSummary) => readonly string[]
  replicas: ReplicaStore
}

/** Reads what ought to run, what is routed, and what is seen of it, from the rows of this moment. */
export function createReplicaIntents(sources: ReplicaSources) {
  const liveOf = (service: ServiceSummary): DeploymentRow | null =>
    service.live_deployment_id === null ? null : (sources.findDeployment(service.live_deployment_id) ?? null)

  return {
    /** What ought to run of every service. */
    listIntents: (): ReplicaIntent[] => {
      const open = Map.groupBy(sources.listOpenDeployments(), (deployment) => deployment.service_id)
      return [...sources.listServices(), ...sources.listDeleting()].map((service) => ({
        service_id: service.id,
        service_name: service.name,
        desired_state: service.desired_state,
        replicas: service.replicas,
        live: liveOf(service),
        open: open.get(service.id) ?? [],
      }))
    },

    /** The services that have routes: those with a release that listens. */
    listRouted: (): RoutedService[] =>
      sources.listServices().flatMap((service) => {
        const live = liveOf(service)
        if (!live || live.config.internal_port === null) return []
        return [
          {
            service_id: service.id,
            label: `${sources.projectNameOf(service.project_id) ?? ''}/${service.name}`,
            hostnames: sources.hostnamesOf(service),
            deployment_id: live.id,
            port: live.config.internal_port,
            running: service.desired_state === 'running',
          },
        ]
      }),

    /** What there is of each of these services. */
    observe: (serviceIds: readonly string[]): Map<string, Observation> => {
      const open = new Set(
        sources
          .listOpenDeployments()
          .flatMap(({ service_id, step }) => (step === 'retire' ? [] : [service_id])),
      )
      return new Map(
        serviceIds.map((id) => {
          const rows = sources.replicas.listByService(id).filter((row) => row.status !== 'Draining')
          return [
            id,
            {
              healthy: rows.filter((row) => row.status === 'Healthy').length,
              total: rows.length,
              crash_loop: rows.some((row) => row.status === 'CrashLoop' || row.restarts >= 3),
              open_deployment: open.has(id),
            },
          ]
        }),
      )
    },
  }
}
