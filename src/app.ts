import { openIngressDoor } from './http/ingress-door.ts'
import { type Server } from './http/server.ts'
import { openState } from './store/state.ts'
import { ingressDoorPath } from './composition/control-route.ts'
import { type Base, openStores, type AppOptions } from './composition/base.ts'
import { type Access, composeAccess } from './composition/access.ts'
import { composeImages } from './composition/images.ts'
import { composeRegistry, type RegistryPart } from './composition/registry.ts'
import { type Certificates, composeCertificates } from './composition/certificates.ts'
import { composeRequests, type Requests } from './composition/requests.ts'
import { composeDomains, type Domains } from './composition/domains.ts'
import { type Traffic, composeTraffic } from './composition/traffic.ts'
import { type Delivery, composeDelivery } from './composition/delivery.ts'
import { composeSecrets } from './composition/secrets.ts'
import { type Workers, composeWorkers } from './composition/workers.ts'
import { composeGit } from './composition/git.ts'
import { composeWebhooks } from './composition/webhooks.ts'
import { composeServer } from './composition/server.ts'

export interface App {
  server: Server
  /** Resolves when the API listens and the ingress serves. */
  start(): Promise<{ api: string; httpPort: number; httpsPort: number }>
  /** Ends in order whatever was started; may be called at any time, once. */
  stop(options: { keepIngress: boolean }): Promise<void>
}

/** Opens the state and puts all parts together. Nothing runs before `start`. */
export async function createApp(options: AppOptions): Promise<App> {
  const { config, log, system } = options
  const state = openState(config.data_dir, system)
  try {
    return await composeApp({ ...options, state, stores: openStores(state.database, options) })
  } catch (error) {
    state.close()
    log.debug('closed the state after a failed start')
    throw error
  }
}

async function composeApp(base: Base): Promise<App> {
  const access = await composeAccess(base)
  const traffic = composeTraffic(base)
  const git = composeGit(base, access)
  const registry = await composeRegistry(base, access)
  const images = composeImages(base, access, registry)
  const delivery = await composeDelivery(base, access, traffic, registry, images, git)
  const sealing = composeSecrets(base, access)
  const certificates = composeCertificates(base, access, traffic)
  const domains = composeDomains(base, access, traffic, certificates)
  const webhooks = composeWebhooks(base, access, delivery, traffic)
  const requests = composeRequests(base, traffic, delivery)
  const workers = composeWorkers(
    base,
    access,
    traffic,
    delivery,
    registry,
    images,
    sealing,
    domains,
    webhooks,
    certificates,
    requests,
  )
  const server = composeServer(
    base,
    access,
    traffic,
    delivery,
    workers,
    registry,
    images,
    sealing,
    git,
    domains,
    webhooks,
    certificates,
    requests,
  )
  return lifecycle(
    base,
    access,
    traffic,
    delivery,
    workers,
    registry,
    domains,
    certificates,
    requests,
    server,
  )
}

function lifecycle(
  base: Base,
  { audit }: Access,
  traffic: Traffic,
  delivery: Delivery,
  workers: Workers,
  registry: RegistryPart,
  domains: Domains,
  certificates: Certificates,
  requests: Requests,
  server: Server,
): App {
  const { config, state } = base
  const stack = new AsyncDisposableStack()
  let keepIngress = true
  stack.defer(() => state.close())
  stack.defer(() => audit.flush())
  stack.defer(() => registry.close())
  return {
    server,
    start: async () => {
      stack.defer(() => traffic.ingress.stop({ keepWorkers: keepIngress }))
      await traffic.ingress.start()
      const { http_port, https_port } = await traffic.ingress.status()
      Object.assign(traffic.ports, { http: http_port, https: https_port })
      stack.defer(() => server.close())
      const api = await server.listen({ host: config.bind.host, port: config.bind.port })
      stack.defer(() => registry.entry.close())
      await registry.entry.open(server.server)
      stack.defer(await openIngressDoor(server, ingressDoorPath(config)))
      stack.defer(async () => {
        await Promise.all(
          [workers.removal, traffic.routes.worker, ...workers.upkeep].map((worker) => worker.stop()),
        )
      })
      for (const worker of [workers.removal, ...workers.upkeep]) worker.start()
      stack.defer(() => domains.stop())
      domains.start()
      stack.defer(() => requests.stop())
      requests.worker.start()
      for (const worker of certificates.workers) {
        stack.defer(() => worker.stop())
        worker.start()
      }
      stack.defer(() => delivery.logs.stop())
      delivery.logs.worker.start()
      stack.defer(() => delivery.recovery.stop())
      stack.defer(() => delivery.reconciler.stop())
      stack.defer(() => delivery.engine.stop())
      stack.defer(() => delivery.autoscaler.worker.stop())
      delivery.reconciler.start(() => {
        traffic.routes.worker.start()
        delivery.engine.worker.start()
        delivery.autoscaler.worker.start()
      })
      return { api, httpPort: http_port, httpsPort: https_port }
    },
    stop: async (options) => {
      keepIngress = options.keepIngress
      await stack.disposeAsync()
    },
  }
}
