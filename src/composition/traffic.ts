import { createIngress } from '../modules/ingress/ingress-control.ts'
import { createReplicaIntents } from '../modules/replicas/replica-intent.ts'
import { createRoutePublisher } from '../modules/replicas/route-publisher.ts'
import { serviceHostnames, serviceUrl } from '../modules/services/service-hostname.ts'
import type { ServiceSummary } from '../modules/services/service-schema.ts'
import { expectedMounts } from '../modules/volumes/volume-mounts.ts'
import { type Base, reporter } from './base.ts'

/** The ingress and the names under which services are found. */
export function composeTraffic(base: Base) {
  const { config, log, system, stores } = base
  const ingress = createIngress({
    system,
    log,
    dataDir: config.data_dir,
    bindAddress: config.http_bind,
    httpPort: config.http_port,
    httpsPort: config.https_port,
    workers: config.ingress_workers,
    trustedProxies: config.trusted_proxies,
  })
  const ports = { http: config.http_port, https: config.https_port }
  const projectNameOf = (id: string): string | undefined => stores.projects.find(id)?.name
  const hostnamesOf = (service: ServiceSummary, projectName: string): string[] => [
    ...serviceHostnames(service.name, projectName, config.control_domain),
    // The route table has no wildcards yet.
    ...stores.domains.hostnamesOf(service.id, 'verified').filter((each) => !each.startsWith('*.')),
  ]
  const intents = createReplicaIntents({
    listServices: stores.services.listAll,
    listDeleting: stores.services.listDeleting,
    listLiveDeployments: stores.deployments.listLive,
    listOpenDeployments: stores.deployments.listOpen,
    projectNameOf,
    hostnamesOf,
    mountsOf: (deployment) => expectedMounts(stores.volumes, deployment),
    replicas: stores.replicas,
  })
  const routes = createRoutePublisher({
    system,
    replicas: stores.replicas,
    listRouted: intents.listRouted,
    publish: ingress.publish,
    onError: reporter(base, 'routes'),
  })
  return {
    ingress,
    ports,
    intents,
    routes,
    projectNameOf,
    hostnameOf: (serviceId: string): string => {
      const service = stores.services.findAny(serviceId)
      if (!service) return ''
      return hostnamesOf(service, projectNameOf(service.project_id) ?? '')[0] ?? ''
    },
    urlOf: (service: ServiceSummary): string =>
      serviceUrl(service.name, projectNameOf(service.project_id) ?? '', config.control_domain, ports.http),
  }
}
export type Traffic = ReturnType<typeof composeTraffic>
