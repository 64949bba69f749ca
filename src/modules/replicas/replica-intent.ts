import type { RouteRules } from '../../ingress/contract/route-rules.ts'
import type { DeploymentRow } from '../deployments/deployment-schema.ts'
import { canaryReplicas, replicasOf, type ServiceSummary, writesVolumes } from '../services/service-schema.ts'
import type { Observation } from '../services/service-status.ts'
import { isTakenOver, type ReplicaIntent } from './replica-plan.ts'
import type { ReplicaRow } from './replica-schema.ts'
import type { ReplicaStore } from './replica-store.ts'
import type { RoutedService } from './route-plan.ts'

/** What of other modules the reconciler reads. */
export interface ReplicaSources {
  listServices: () => readonly ServiceSummary[]
  listDeleting: () => readonly ServiceSummary[]
  /** The live releases of all services. */
  listLiveDeployments: () => readonly DeploymentRow[]
  /** The releases that run beside a live one. */
  listCanaries: () => readonly DeploymentRow[]
  listOpenDeployments: () => readonly DeploymentRow[]
  /** Of services without a release: the last deployment, where it failed. */
  listFirstFailures: (
    serviceIds: readonly string[],
  ) => readonly { service_id: string; number: number; reason: string | null }[]
  projectNameOf: (projectId: string) => string | undefined
  hostnamesOf: (service: ServiceSummary, projectName: string) => readonly string[]
  /** Whether plain requests for a hostname are sent on to TLS. */
  isSecured: (hostname: string, service: ServiceSummary) => boolean
  /** What the operator has said of requests. */
  rulesOf: (service: ServiceSummary, projectName: string) => RouteRules | undefined
  /** Which of these hostnames of a service send requests on to another one. */
  canonicalOf: (service: ServiceSummary, hostnames: readonly string[]) => ReadonlyMap<string, string>
  /** Which volumes replicas of a release are to have, as their label says it. */
  mountsOf: (deployment: DeploymentRow) => string
  replicas: ReplicaStore
}

interface Canary {
  release: DeploymentRow
  percent: number
}

/** Reads what ought to run, what is routed, and what is seen of it, from the rows of this moment. */
export function createReplicaIntents(sources: ReplicaSources) {
  const liveById = (): Map<string, DeploymentRow> =>
    new Map(sources.listLiveDeployments().map((deployment) => [deployment.id, deployment]))

  /** By service. */
  const canariesOf = (): ((service: ServiceSummary) => Canary | null) => {
    const canaries = new Map(sources.listCanaries().map((deployment) => [deployment.service_id, deployment]))
    return ({ id, canary_percent: percent }) => {
      const release = canaries.get(id)
      return release === undefined || percent === null ? null : { release, percent }
    }
  }

  return {
    /** What ought to run of every service. */
    listIntents: (): ReplicaIntent[] => {
      const canaryOf = canariesOf()
      const open = Map.groupBy(sources.listOpenDeployments(), (deployment) => deployment.service_id)
      const live = liveById()
      return [...sources.listServices(), ...sources.listDeleting()].map((service) => {
        const release = live.get(service.live_deployment_id ?? '') ?? null
        const canary = canaryOf(service)
        return {
          service_id: service.id,
          service_name: service.name,
          desired_state: service.desired_state,
          replicas: release === null ? service.replicas : replicasOf(release.config, service.replicas),
          live: release,
          canary: canary && {
            release: canary.release,
            replicas: canaryReplicas(service.replicas, canary.percent),
          },
          open: open.get(service.id) ?? [],
          mounts: release === null ? '' : sources.mountsOf(release),
        }
      })
    },

    /** The services that have routes: those with a release that listens. */
    listRouted: (): RoutedService[] => {
      const live = liveById()
      const canaryOf = canariesOf()
      const open = Map.groupBy(sources.listOpenDeployments(), (deployment) => deployment.service_id)
      const projectNames = new Map<string, string>()
      return sources.listServices().flatMap((service) => {
        const release = live.get(service.live_deployment_id ?? '')
        if (!release || release.config.internal_port === null) return []
        const projectName =
          projectNames.get(service.project_id) ?? sources.projectNameOf(service.project_id) ?? ''
        projectNames.set(service.project_id, projectName)
        const hostnames = sources.hostnamesOf(service, projectName)
        const canary = canaryOf(service)
        return [
          {
            service_id: service.id,
            label: `${projectName}/${service.name}`,
            hostnames,
            https_only: hostnames.filter((each) => sources.isSecured(each, service)),
            rules: sources.rulesOf(service, projectName),
            canonical: sources.canonicalOf(service, hostnames),
            releases: [release, ...(canary ? [canary.release] : [])].flatMap(({ id, config }) =>
              config.internal_port === null ? [] : [{ deployment_id: id, port: config.internal_port }],
            ),
            canary: canary && { deployment_id: canary.release.id, percent: canary.percent },
            // Without a replica that anybody waits for it is as good as stopped.
            running:
              service.desired_state === 'running' &&
              (service.replicas > 0 || service.autoscale?.min_replicas === 0),
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
      const canaries = sources.replicas.countHealthyCanaries(serviceIds)
      const failures = new Map(
        sources
          .listFirstFailures(serviceIds)
          .map(({ service_id, number, reason }) => [
            service_id,
            `Deployment ${number} failed: ${reason ?? '?'}`,
          ]),
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
              trouble: troubleOf(rows) ?? failures.get(id) ?? null,
              canary_healthy: canaries.get(id) ?? 0,
              open_deployment: open.has(id),
            },
          ]
        }),
      )
    },
  }
}

/** What is known of the first replica that is not well, in one sentence. */
function troubleOf(rows: readonly ReplicaRow[]): string | null {
  const row = rows.find(({ status, reason }) => status !== 'Healthy' && reason !== null)
  if (!row) return null
  const restarts = row.restarts > 0 ? ` (restarts: ${row.restarts})` : ''
  return `Replica ${row.replica_index}: ${row.reason}${restarts}`
}
