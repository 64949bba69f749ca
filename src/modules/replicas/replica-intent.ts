import type { DeploymentRow } from '../deployments/deployment-schema.ts'
import { replicasOf, type ServiceSummary, writesVolumes } from '../services/service-schema.ts'
import type { Observation } from '../services/service-status.ts'
import { isTakenOver, type ReplicaIntent } from './replica-plan.ts'
import type { ReplicaStore } from './replica-store.ts'
import type { RoutedService } from './route-plan.ts'

/** What of other modules the reconciler reads. */
export interface ReplicaSources {
  listServices: () => readonly ServiceSummary[]
  listDeleting: () => readonly ServiceSummary[]
  /** The live releases of all services. */
  listLiveDeployments: () => readonly DeploymentRow[]
  listOpenDeployments: () => readonly DeploymentRow[]
  projectNameOf: (projectId: string) => string | undefined
  hostnamesOf: (service: ServiceSummary, projectName: string) => readonly string[]
  /** Whether the ingress has a certificate for a hostname. */
  isSecured: (hostname: string) => boolean
  /** Which volumes replicas of a release are to have, as their label says it. */
  mountsOf: (deployment: DeploymentRow) => string
  replicas: ReplicaStore
}

/** Reads what ought to run, what is routed, and what is seen of it, from the rows of this moment. */
export function createReplicaIntents(sources: ReplicaSources) {
  const liveById = (): Map<string, DeploymentRow> =>
    new Map(sources.listLiveDeployments().map((deployment) => [deployment.id, deployment]))

  return {
    /** What ought to run of every service. */
    listIntents: (): ReplicaIntent[] => {
      const open = Map.groupBy(sources.listOpenDeployments(), (deployment) => deployment.service_id)
      const live = liveById()
      return [...sources.listServices(), ...sources.listDeleting()].map((service) => {
        const release = live.get(service.live_deployment_id ?? '') ?? null
        return {
          service_id: service.id,
          service_name: service.name,
          desired_state: service.desired_state,
          replicas: release === null ? service.replicas : replicasOf(release.config, service.replicas),
          live: release,
          open: open.get(service.id) ?? [],
          mounts: release === null ? '' : sources.mountsOf(release),
        }
      })
    },

    /** The services that have routes: those with a release that listens. */
    listRouted: (): RoutedService[] => {
      const live = liveById()
      const open = Map.groupBy(sources.listOpenDeployments(), (deployment) => deployment.service_id)
      const projectNames = new Map<string, string>()
      return sources.listServices().flatMap((service) => {
        const release = live.get(service.live_deployment_id ?? '')
        if (!release || release.config.internal_port === null) return []
        const projectName =
          projectNames.get(service.project_id) ?? sources.projectNameOf(service.project_id) ?? ''
        projectNames.set(service.project_id, projectName)
        const hostnames = sources.hostnamesOf(service, projectName)
        return [
          {
            service_id: service.id,
            label: `${projectName}/${service.name}`,
            hostnames,
            https_only: hostnames.filter(sources.isSecured),
            deployment_id: release.id,
            port: release.config.internal_port,
            running: service.desired_state === 'running',
            sleeps: service.autoscale?.min_replicas === 0,
            stops_first: writesVolumes(release.config),
            taken_over: isTakenOver({ open: open.get(service.id) ?? [], live: release }),
          },
        ]
      })
    },

    /** What there is of each of these services. */
    observe: (serviceIds: readonly string[]): Map<string, Observation> => {
      const open = new Set(
        sources
          .listOpenDeployments()
          .flatMap(({ service_id, step }) => (step === 'retire' ? [] : [service_id])),
      )
      const live = Map.groupBy(sources.replicas.listLive(serviceIds), (row) => row.service_id)
      return new Map(
        serviceIds.map((id) => {
          const rows = live.get(id) ?? []
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
