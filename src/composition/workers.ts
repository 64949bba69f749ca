import { join } from 'node:path'
import { createWorker, type Worker } from '../lib/worker.ts'
import { createBuildCacheLimit } from '../modules/builds/build-cache-limit.ts'
import { createAutoDeploy } from '../modules/deployments/auto-deploy.ts'
import { contextOfBerth } from '../modules/identity/context.ts'
import { listImagesOf } from '../modules/deployments/engine-image.ts'
import { removeExpiredImages } from '../modules/deployments/image-retention.ts'
import { sweepReleaseCommands } from '../modules/deployments/steps/release-command.ts'
import { sweepWorkFolders } from '../modules/deployments/work-folders.ts'
import { networkName } from '../modules/replicas/container-spec.ts'
import { createServiceRemoval } from '../modules/services/service-removal.ts'
import { createUploadExpiry } from '../modules/uploads/upload-expiry.ts'
import { type Base, reporter } from './base.ts'
import type { Access } from './access.ts'
import type { Traffic } from './traffic.ts'
import type { Delivery } from './delivery.ts'
import type { ImagesPart } from './images.ts'
import type { RegistryPart } from './registry.ts'
import type { Sealing } from './secrets.ts'
import type { Certificates } from './certificates.ts'
import type { Requests } from './requests.ts'
import type { Domains } from './domains.ts'
import type { Webhooks } from './webhooks.ts'

const MINUTE_MS = 60_000

/** The background loops that belong to no module alone. */
export function composeWorkers(
  base: Base,
  { identity }: Access,
  traffic: Traffic,
  delivery: Delivery,
  registry: RegistryPart,
  { images }: ImagesPart,
  sealing: Sealing,
  domains: Domains,
  webhooks: Webhooks,
  certificates: Certificates,
  requests: Requests,
) {
  const { config, system, stores } = base
  const { runtime, engine, logs } = delivery
  const make = (name: string, everyMs: number, run: (signal: AbortSignal) => Promise<void>): Worker =>
    createWorker({ name, system, everyMs, run, onError: reporter(base, name) })
  const isOpen = (id: string): boolean => (stores.deployments.find(id)?.step ?? null) !== null
  const expiry = createUploadExpiry({
    store: stores.uploads,
    files: delivery.uploadFiles,
    system,
    isDeploymentOpen: isOpen,
  })
  const autoDeploy = make(
    'auto-deploy',
    MINUTE_MS,
    createAutoDeploy({
      listServices: stores.services.listAll,
      store: stores.deploymentImages,
      images,
      deploy: (service_id, trigger) => {
        const source = { type: 'external_image' } as const
        const context = contextOfBerth(system.newId())
        return delivery.deployments.createDeployment(context, { service_id, source }, trigger)
      },
      onError: reporter(base, 'auto-deploy'),
    }),
  )
  registry.onPush(() => autoDeploy.nudge())
  const upkeep = [
    make('uploads', 5 * MINUTE_MS, expiry.run),
    make('images', 10 * MINUTE_MS, (signal) =>
      removeExpiredImages(
        {
          runtime,
          system,
          database: base.state.database,
          store: stores.deployments,
          images: stores.deploymentImages,
          library: delivery.library,
          keep: config.keep_releases,
        },
        signal,
      ),
    ),
    make('build-cache', 60 * MINUTE_MS, createBuildCacheLimit({ runtime, config, log: base.log })),
    make('identity', 10 * MINUTE_MS, async () => identity.removeExpired()),
    make('work-folders', 60 * MINUTE_MS, () => sweepWorkFolders(join(config.data_dir, 'work'), isOpen)),
    make('release-commands', 10 * MINUTE_MS, () =>
      sweepReleaseCommands(runtime, stores.deployments.isInReleaseCommand),
    ),
    make('logs', 10 * MINUTE_MS, logs.expire),
    make('request-logs', 10 * MINUTE_MS, requests.expire),
    ...registry.workers,
    autoDeploy,
    sealing.worker,
    ...webhooks.workers,
    delivery.volumes.worker,
  ]
  const removal = make(
    'removals',
    1_000,
    createServiceRemoval({
      runtime,
      system,
      log: base.log,
      listDeleting: stores.services.listDeleting,
      countByProject: stores.services.countByProject,
      endDeployments: async (serviceId) => {
        delivery.deployments.cancelOfService(serviceId, 'The service was deleted.')
        await engine.idle(serviceId)
      },
      removeLogs: async (serviceId) => {
        await logs.removeService(serviceId)
        await requests.remove(serviceId)
      },
      networkOf: networkName,
      removeVolumes: delivery.volumes.removeOfService,
      listImages: (serviceId) => listImagesOf(runtime, stores.deployments.listIdsOfService(serviceId)),
      removeRow: (service) =>
        base.state.database.transact(() => {
          stores.services.remove(service.id)
          registry.images.removeHidden(service)
        }),
      removed: () => upkeep[0]?.nudge(),
    }),
  )
  const all = [
    traffic.routes.worker,
    delivery.reconciler.worker,
    delivery.autoscaler.worker,
    engine.worker,
    removal,
    delivery.logs.worker,
    ...domains.workers,
    ...certificates.workers,
    requests.worker,
    ...upkeep,
  ]
  return { all, removal, upkeep }
}
export type Workers = ReturnType<typeof composeWorkers>
