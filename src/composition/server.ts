import { statfs } from 'node:fs/promises'
import type { Config } from '../config.ts'
import { openApiRoutes } from '../http/openapi/openapi-routes.ts'
import { createServer, type Server } from '../http/server.ts'
import { AppError } from '../lib/errors.ts'
import { auditRoutes } from '../modules/audit/audit-routes.ts'
import { requestRoutes } from '../modules/requests/request-routes.ts'
import { certificateRoutes } from '../modules/certificates/certificate-routes.ts'
import { domainRoutes } from '../modules/domains/domain-routes.ts'
import { canaryRoutes } from '../modules/deployments/canary-routes.ts'
import { deploymentRoutes } from '../modules/deployments/deployment-routes.ts'
import { BERTH_ITSELF } from '../modules/identity/context.ts'
import { freezeRoutes } from '../modules/freezes/freeze-routes.ts'
import { identityRoutes } from '../modules/identity/identity-routes.ts'
import { createNodeOperations } from '../modules/node/node-operations.ts'
import { gitCredentialRoutes } from '../modules/git/git-credential-routes.ts'
import { logRoutes } from '../modules/logs/log-routes.ts'
import { createRouteListing } from '../modules/ingress/route-listing-operations.ts'
import { routeListingRoutes } from '../modules/ingress/route-listing-routes.ts'
import { nodeRoutes } from '../modules/node/node-routes.ts'
import { createProjectOperations } from '../modules/projects/project-operations.ts'
import { projectRoutes } from '../modules/projects/project-routes.ts'
import { externalRegistryRoutes } from '../modules/registries/external-registry-routes.ts'
import { registryControlRoutes } from '../modules/registry/registry-control-routes.ts'
import { registryRoutes } from '../modules/registry/registry-routes.ts'
import { rotationRoutes } from '../modules/secrets/rotation-routes.ts'
import { createServiceOperations } from '../modules/services/service-operations.ts'
import { MANIFEST_DEFAULTS } from '../modules/services/manifest-defaults.ts'
import { manifestRoutes } from '../modules/services/manifest-routes.ts'
import { describeManifest } from '../modules/services/manifest-schema.ts'
import { serviceRoutes } from '../modules/services/service-routes.ts'
import { uploadRoutes } from '../modules/uploads/upload-routes.ts'
import { hookRoutes } from '../modules/webhooks/hook-routes.ts'
import { webhookRoutes } from '../modules/webhooks/webhook-routes.ts'
import { volumeRoutes } from '../modules/volumes/volume-routes.ts'
import { VERSION } from '../lib/version.ts'
import { type Base, reporter } from './base.ts'
import type { Access } from './access.ts'
import type { Traffic } from './traffic.ts'
import type { Delivery } from './delivery.ts'
import type { Certificates } from './certificates.ts'
import type { Requests } from './requests.ts'
import type { Domains } from './domains.ts'
import type { ImagesPart } from './images.ts'
import type { RegistryPart } from './registry.ts'
import type { Sealing } from './secrets.ts'
import type { GitPart } from './git.ts'
import type { Webhooks } from './webhooks.ts'
import type { Workers } from './workers.ts'

export function composeServer(
  base: Base,
  { secrets, audit, identity }: Access,
  traffic: Traffic,
  delivery: Delivery,
  workers: Workers,
  registry: RegistryPart,
  images: ImagesPart,
  sealing: Sealing,
  git: GitPart,
  domains: Domains,
  webhooks: Webhooks,
  certificates: Certificates,
  requests: Requests,
): Server {
  const { config, log, system, stores, state } = base
  const { database } = state
  const server = createServer({
    log,
    system,
    authenticate: identity.authenticate,
    accessRevision: audit.accessRevision,
    idempotency: identity.idempotency,
    finders: {
      project: (id) => stores.projects.find(id)?.id,
      service: stores.services.projectOf,
      deployment: stores.deployments.projectOf,
    },
    onDenied: audit.recordDenial,
    settings: config,
  })
  const projects = createProjectOperations({
    database,
    store: stores.projects,
    secrets,
    system,
    recordAudit: audit.record,
    contentsOf: (id) => [...stores.services.describeContents(id), ...registry.describeContents(id)],
    forgetProject: identity.tokens.forgetProject,
    projectChanged: () => traffic.routes.worker.nudge(),
    projectDeleted: () => certificates.changed(),
  })
  projects.ensureDefaultProject(BERTH_ITSELF)
  const services = createServiceOperations({
    database,
    store: stores.services,
    secrets,
    system,
    recordAudit: audit.record,
    projects: stores.projects,
    observe: traffic.intents.observe,
    redeploy: delivery.deployments.redeployService,
    domains: {
      ...domains.operations,
      hostnamesOf: (id) => stores.domains.hostnamesOf(id, 'all'),
    },
    cancelDeployments: delivery.deployments.cancelOfService,
    settleSource: images.check.settleSource,
    noteOnSource: images.check.noteOn,
    hideImages: (actor, service) => {
      const own = new Set(stores.deployments.listIdsOfService(service.id))
      return registry.images.hideRepositories(service, {
        isOwn: (deploymentId) => own.has(deploymentId),
        takesOthers: actor.can('registry.delete', service.project_id),
      })
    },
    hasWebhook: webhooks.hasEnabled,
    listVolumes: (id) => stores.volumes.listByService(id).map(({ name }) => name),
    removeService: async () => {
      await traffic.routes.publish()
      workers.removal.nudge()
    },
    routed: () => traffic.routes.publish().catch(reporter(base, 'routes')),
    serviceChanged: () => {
      certificates.changed()
      traffic.routes.worker.nudge()
      delivery.reconciler.worker.nudge()
    },
    urlOf: traffic.urlOf,
  })
  const node = createNodeOperations({
    system,
    version: VERSION,
    settings: config,
    checks: {
      database: () => void database.get('SELECT 1 AS one'),
      runtime: (signal) => delivery.runtime.inspectEngine(signal),
      ingress: () => requireIngress(traffic.ingress),
      disk: () => requireRoom(config),
    },
    inspectEngine: delivery.runtime.inspectEngine,
    workers: () => workers.all.map((worker) => worker.status()),
    onNotReady: (name, error) => log.warn({ err: error, check: name }, 'not ready'),
  })
  nodeRoutes(server, node)
  routeListingRoutes(server, createRouteListing(traffic.ingress))
  identityRoutes(server, identity)
  auditRoutes(server, audit)
  projectRoutes(server, projects)
  serviceRoutes(server, services)
  manifestRoutes(server, describeManifest(MANIFEST_DEFAULTS))
  domainRoutes(server, domains.operations)
  certificateRoutes(server, certificates.operations)
  requestRoutes(server, requests.operations)
  uploadRoutes(server, delivery.uploads)
  volumeRoutes(server, delivery.volumes)
  deploymentRoutes(server, delivery.deployments)
  canaryRoutes(server, delivery.deployments)
  freezeRoutes(server, delivery.freezes)
  logRoutes(server, delivery.logs.operations)
  registryRoutes(server, {
    protocol: registry.protocol,
    rateLimitPerMinute: config.registry_rate_limit_per_minute,
  })
  registryControlRoutes(server, registry.control)
  externalRegistryRoutes(server, images.registries)
  rotationRoutes(server, sealing.rotations)
  gitCredentialRoutes(server, git.credentials)
  webhookRoutes(server, webhooks.operations)
  hookRoutes(server, webhooks.operations)
  openApiRoutes(server, VERSION)
  return server
}

export async function requireIngress(ingress: Traffic['ingress']): Promise<void> {
  const { ready_workers } = await ingress.status()
  if (ready_workers === 0)
    throw new AppError('STARTING', { message: 'No ingress process serves the present routes.' })
}

export async function requireRoom(config: Config): Promise<void> {
  const disk = await statfs(config.data_dir)
  if (disk.bavail * disk.bsize < config.disk_reserve_bytes) throw new AppError('DISK_FULL')
}
