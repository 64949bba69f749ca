import type { Challenge } from '../ingress/contract/challenge-table.ts'
import type { PublishedCertificate } from '../modules/certificates/certificate-worker.ts'
import { createIngress } from '../modules/ingress/ingress-control.ts'
import { createReplicaIntents } from '../modules/replicas/replica-intent.ts'
import { createRoutePublisher } from '../modules/replicas/route-publisher.ts'
import { canonicalHosts, routeRules } from '../modules/services/ingress-rules.ts'
import { LOCAL_DOMAIN, serviceHostnames, urlOfHostname } from '../modules/services/service-hostname.ts'
import { readRouting, type ServiceSummary } from '../modules/services/service-schema.ts'
import { NOTHING_OBSERVED, viewCanary } from '../modules/services/service-status.ts'
import { expectedMounts } from '../modules/volumes/volume-mounts.ts'
import { type Base, reporter } from './base.ts'
import { controlRoutes } from './control-route.ts'

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
    proxyProtocolPeers: config.proxy_protocol_peers,
  })
  const ports = { http: config.http_port, https: config.https_port }
  const projectNameOf = (id: string): string | undefined => stores.projects.find(id)?.name
  const hostnamesOf = (service: ServiceSummary, projectName: string): string[] => [
    ...serviceHostnames(service.name, projectName, config.control_domain),
    ...stores.domains.hostnamesOf(service.id, 'verified'),
  ]
  /** Hostnames that the ingress has certificates for which clients trust. */
  let secured: ReadonlySet<string> = new Set()
  const intents = createReplicaIntents({
    listServices: stores.services.listAll,
    listDeleting: stores.services.listDeleting,
    listLiveDeployments: stores.deployments.listLive,
    listCanaries: stores.deployments.listCanaries,
    listOpenDeployments: stores.deployments.listOpen,
    listFirstFailures: stores.deployments.listFirstFailures,
    projectNameOf,
    hostnamesOf,
    isSecured: (hostname, { routing }) =>
      secured.has(hostname) && readRouting(routing).ingress.https_redirect,
    rulesOf: ({ routing }, projectName) =>
      routeRules(readRouting(routing).ingress, (name) => `${name}.${projectName}.${LOCAL_DOMAIN}`),
    canonicalOf: ({ routing }, hostnames) =>
      canonicalHosts(readRouting(routing).ingress.canonical, hostnames),
    mountsOf: (deployment) => expectedMounts(stores.volumes, deployment),
    replicas: stores.replicas,
  })
  const routes = createRoutePublisher({
    system,
    replicas: stores.replicas,
    listRouted: intents.listRouted,
    publish: (planned) =>
      ingress.publish([...planned, ...controlRoutes(config, (hostname) => secured.has(hostname))]),
    onError: reporter(base, 'routes'),
  })
  return {
    ingress,
    ports,
    intents,
    routes,
    projectNameOf,
    /** `project/service`, for people. */
    labelOf: (serviceId: string): string => {
      const service = stores.services.findAny(serviceId)
      return `${projectNameOf(service?.project_id ?? '') ?? ''}/${service?.name ?? ''}`
    },
    /** Resolves when the ingress answers the proofs of all claims and orders of this moment. */
    publishChallenges: async (): Promise<void> => {
      await ingress.publishChallenges(listChallenges(stores))
    },
    /**
     * Resolves when the ingress serves these certificates, and sends plain requests for their names on to TLS, except where the node itself vouches
     * for the name: to a browser that is a page full of warnings.
     */
    publishCertificates: async (entries: readonly PublishedCertificate[]): Promise<void> => {
      await ingress.publishCertificates(
        entries.map(({ hostname, certificate_id }) => ({ hostname, certificate_id })),
      )
      secured = new Set(entries.flatMap((entry) => (entry.self_signed ? [] : [entry.hostname])))
      await routes.publish()
    },
    hostnameOf: (serviceId: string): string => {
      const service = stores.services.findAny(serviceId)
      if (!service) return ''
      return hostnamesOf(service, projectNameOf(service.project_id) ?? '')[0] ?? ''
    },
    canaryOf: (service: ServiceSummary) =>
      viewCanary(service, intents.observe([service.id]).get(service.id) ?? NOTHING_OBSERVED),
    /** Where a path of the API answers under the control domain; undefined when there is none. */
    urlOfPath: (path: string): string | undefined => {
      const { control_domain: hostname } = config
      return hostname && new URL(path, urlOfHostname(hostname, secured.has(hostname), ports)).href
    },
    /** Where a browser finds a service; null when it listens on no port. */
    urlOf: (service: ServiceSummary): string | null => {
      if (service.config.internal_port === null) return null
      const projectName = projectNameOf(service.project_id) ?? ''
      const [hostname = ''] = serviceHostnames(service.name, projectName, config.control_domain)
      return urlOfHostname(hostname, secured.has(hostname), ports)
    },
  }
}
function listChallenges({ domains, certificates }: Base['stores']): Challenge[] {
  const claims = domains
    .listTokens()
    .map(({ hostname, token }) => ({ kind: 'denia' as const, hostname, token, body: token }))
  const orders = certificates
    .listChallenges()
    .map(({ hostname, challenge: { token, body } }) => ({ kind: 'acme' as const, hostname, token, body }))
  return [...claims, ...orders]
}

export type Traffic = ReturnType<typeof composeTraffic>
