import { join } from 'node:path'
import { AppError } from '../../src/lib/errors.ts'
import { createSilentLog } from '../../src/lib/log.ts'
import { createWorker } from '../../src/lib/worker.ts'
import { createAutoscaler } from '../../src/modules/autoscale/autoscaler.ts'
import { createDeploymentEngine } from '../../src/modules/deployments/deployment-engine.ts'
import { createDeploymentOperations } from '../../src/modules/deployments/deployment-operations.ts'
import { createDeploymentImageStore } from '../../src/modules/deployments/deployment-image-store.ts'
import { createDeploymentStore } from '../../src/modules/deployments/deployment-store.ts'
import { createImageRecovery } from '../../src/modules/deployments/image-recovery.ts'
import { createReleaseEnv } from '../../src/modules/deployments/release-env.ts'
import { createReleaseLibrary } from '../../src/modules/deployments/release-library.ts'
import { listImagesOf } from '../../src/modules/deployments/engine-image.ts'
import { createManifestStore } from '../../src/modules/registry/manifest-store.ts'
import { createPinStore } from '../../src/modules/registry/pin-store.ts'
import { createRegistryStore } from '../../src/modules/registry/registry-store.ts'
import { createRegistryRules } from '../../src/modules/registry/registry-rules.ts'
import { createReleaseImages } from '../../src/modules/registry/release-images.ts'
import { createRuleStore } from '../../src/modules/registry/rule-store.ts'
import { createTokenSigner } from '../../src/modules/registry/token-signer.ts'
import { MEMORY_REGISTRY } from '../../src/runtime/fake-transfers.ts'
import { removeExpiredImages } from '../../src/modules/deployments/image-retention.ts'
import { createReleaseSettings } from '../../src/modules/deployments/release-settings.ts'
import { sweepReleaseCommands } from '../../src/modules/deployments/steps/release-command.ts'
import { sweepWorkFolders } from '../../src/modules/deployments/work-folders.ts'
import { createProjectStore } from '../../src/modules/projects/project-store.ts'
import { networkName } from '../../src/modules/replicas/container-spec.ts'
import { blocksLiveRelease } from '../../src/modules/replicas/replica-departure.ts'
import { createReplicaIntents } from '../../src/modules/replicas/replica-intent.ts'
import { createReplicaKeeper } from '../../src/modules/replicas/replica-keeper.ts'
import { createReconciler } from '../../src/modules/replicas/replica-reconciler.ts'
import { createReplicaStore } from '../../src/modules/replicas/replica-store.ts'
import { createRoutePublisher } from '../../src/modules/replicas/route-publisher.ts'
import { SopsFileRefused } from '../../src/modules/secrets/sops/sops-container.ts'
import { createServiceOperations } from '../../src/modules/services/service-operations.ts'
import { createServiceRemoval } from '../../src/modules/services/service-removal.ts'
import { createServiceStore } from '../../src/modules/services/service-store.ts'
import { NOTHING_OBSERVED, viewCanary } from '../../src/modules/services/service-status.ts'
import { serviceHostnames } from '../../src/modules/services/service-hostname.ts'
import { createVolumeHolds } from '../../src/modules/volumes/volume-holds.ts'
import { createVolumeMounts, expectedMounts } from '../../src/modules/volumes/volume-mounts.ts'
import { createVolumeOperations } from '../../src/modules/volumes/volume-operations.ts'
import { removeVolumes, removeVolumesOfService } from '../../src/modules/volumes/volume-removal.ts'
import { createVolumeSync } from '../../src/modules/volumes/volume-sync.ts'
import { createVolumeStore } from '../../src/modules/volumes/volume-store.ts'
import type { DeliveryWorld } from './delivery-world.ts'
import { Life, mortalDatabase, mortalRuntime, mortalSystem } from './mortality.ts'

export type DeliveryDaemon = ReturnType<typeof bootDaemon>

/** One daemon over a world: the parts that deploy and keep replicas, joined as the composition root joins them. */
export function bootDaemon(world: DeliveryWorld) {
  const life = new Life()
  const { settings, ingress } = world
  const database = mortalDatabase(world.database, life)
  const runtime = mortalRuntime(world.runtime, life)
  const system = mortalSystem(world.system, life)
  const errors: unknown[] = []
  const onError = (error: unknown): void => {
    if (life.isDead) return
    errors.push(error)
    world.errors.push(error)
  }
  const stores = {
    projects: createProjectStore(database),
    services: createServiceStore(database),
    deployments: createDeploymentStore(database),
    deploymentImages: createDeploymentImageStore(database),
    replicas: createReplicaStore(database, onError),
    volumes: createVolumeStore(database),
  }
  const images = createReleaseImages({
    database,
    system,
    store: createRegistryStore(database),
    manifests: createManifestStore(database),
    pins: createPinStore(database),
    signer: createTokenSigner(Buffer.alloc(32)),
    rules: createRegistryRules({ rules: createRuleStore(database), store: createRegistryStore(database) }),
  })
  const library = createReleaseLibrary({ runtime, images, registryHost: () => MEMORY_REGISTRY })
  const recovery = createImageRecovery({ library, onError })
  const projectNameOf = (id: string): string | undefined => stores.projects.find(id)?.name
  const intents = createReplicaIntents({
    listServices: stores.services.listAll,
    listDeleting: stores.services.listDeleting,
    listLiveDeployments: stores.deployments.listLive,
    listCanaries: stores.deployments.listCanaries,
    listFirstFailures: stores.deployments.listFirstFailures,
    listOpenDeployments: stores.deployments.listOpen,
    projectNameOf,
    isSecured: () => false,
    rulesOf: () => undefined,
    canonicalOf: () => new Map(),
    hostnamesOf: (service, projectName) => serviceHostnames(service.name, projectName, undefined),
    mountsOf: (deployment) => expectedMounts(stores.volumes, deployment),
    replicas: stores.replicas,
  })
  const holds = createVolumeHolds()
  const volumes = createVolumeMounts({
    database,
    system,
    store: stores.volumes,
    runtime,
    holds,
    nameOf: (id) => `shop/${stores.services.find(id)?.name}`,
  })
  const routes = createRoutePublisher({
    system,
    replicas: stores.replicas,
    listRouted: intents.listRouted,
    publish: (table) => life.act('publish', () => ingress.publish(table)),
    onError,
  })
  const hostnameOf = (serviceId: string): string => {
    const service = stores.services.findAny(serviceId)
    return service ? `${service.name}.${projectNameOf(service.project_id) ?? ''}.localhost` : ''
  }
  const drain = {
    inFlight: (ids: readonly string[]) => life.look(() => ingress.count(ids)),
    drainSeconds: settings.drainSeconds,
    drainUpgradedSeconds: settings.drainUpgradedSeconds,
  }
  const common = {
    database,
    system,
    runtime,
    openEnv: createReleaseEnv(stores.deployments, world.secrets),
    publishRoutes: routes.publish,
  }
  const reconciler = createReconciler({
    runtime,
    system,
    store: stores.replicas,
    keeper: createReplicaKeeper({
      ...common,
      ...drain,
      recoverImage: recovery.recover,
      store: stores.replicas,
      hostnameOf,
      routesChanged: routes.worker.nudge,
      startAlone: (live, start) =>
        volumes.startAlone(
          live,
          () =>
            stores.services.find(live.service_id)?.live_deployment_id === live.id &&
            !stores.deployments.isTakenOver(live.service_id, live.id),
          start,
        ),
      graceOf: (id) => stores.deployments.find(id)?.config.stop_grace_seconds,
      preStopOf: (id) => stores.deployments.find(id)?.config.pre_stop_seconds,
      isInTheWay: (id) => {
        const release = stores.deployments.find(id)
        return release !== undefined && blocksLiveRelease(release, stores.services.find(release.service_id))
      },
    }),
    listIntents: intents.listIntents,
    observed: () => {},
    onError,
  })
  const append = (id: string, entry: { step: string | null; stream: string; line: string }): void => {
    if (!life.isDead) world.appendLog(id, entry)
  }
  const engine = createDeploymentEngine({
    ...common,
    library,
    images: {
      ...world.imageSource,
      resolve: (...args) => life.look(() => world.imageSource.resolve(...args)),
      obtain: (...args) => life.act('obtain', () => world.imageSource.obtain(...args)),
    },
    setDigest: stores.deploymentImages.setDigest,
    inFlight: drain.inFlight,
    store: stores.deployments,
    replicas: stores.replicas,
    recordAudit: () => {},
    settings: {
      data_dir: world.dataDir,
      deploy_concurrency: settings.deployConcurrency,
      drain_seconds: settings.drainSeconds,
      drain_upgraded_seconds: settings.drainUpgradedSeconds,
    },
    services: { ...stores.services, hostnameOf },
    projectNameOf,
    volumes,
    unpackUpload: (id, directory, signal) => life.act('unpack', () => world.unpack(id, directory, signal)),
    fetchGit: (request) => life.act('fetch', () => world.fetchGit(request)),
    buildSource: (request) => life.act('build', () => world.build(request, runtime)),
    secrets: world.secrets,
    openEnvFile: async (_, path) => {
      const found = world.envFiles.get(path) ?? 'there is none'
      if (typeof found !== 'string') return found
      throw new SopsFileRefused(`The file ${path} cannot be used: ${found}.`)
    },
    maskAlso: (id, values) => void world.masked.set(id, [...(world.masked.get(id) ?? []), ...values]),
    prepareLog: async () => {},
    appendLog: append,
    over: ({ id, status }) => {
      world.overs.push({ id, status })
      reconciler.worker.nudge()
    },
    onInternalError: onError,
  })
  const deployments = createDeploymentOperations({
    database,
    system,
    store: stores.deployments,
    recordAudit: () => {},
    services: {
      find: stores.services.find,
      urlOf: () => 'http://url/',
      setCanary: stores.services.setCanary,
      canaryOf: (service) =>
        viewCanary(service, intents.observe([service.id]).get(service.id) ?? NOTHING_OBSERVED),
    },
    markDraining: stores.replicas.markDraining,
    publishRoutes: routes.publish,
    replicasChanged: reconciler.worker.nudge,
    onError,
    settings: createReleaseSettings({
      secrets: world.secrets,
      inherited: (id) =>
        stores.projects.load(id) ?? { shared_env_sealed: null, default_resource_limits: null },
      nodeLimits: { cpu_millis: 500, memory_bytes: 512, pids: 512 },
    }),
    takeUpload: world.takeUpload,
    requireUnfrozen: (_, advice = '') => {
      if (world.policy.frozen) throw new AppError('DEPLOYS_FROZEN', { details: [{ message: advice }] })
    },
    library,
    imageCheck: { nameImage: (_, __, named) => named, takeImage: (_, __, named) => named },
    gitAllowsHttp: false,
    hasImage: async (id) => (await runtime.findImage(id)) !== undefined,
    deploymentsChanged: engine.worker.nudge,
    over: ({ id, status }) => world.overs.push({ id, status }),
  })
  const serviceChanged = (): void => {
    routes.worker.nudge()
    reconciler.worker.nudge()
  }
  const autoscaler = createAutoscaler({
    database,
    system,
    runtime,
    services: stores.services,
    listLiveDeployments: stores.deployments.listLive,
    isDeploying: (id) => stores.deployments.listOpenOfService(id).some(({ step }) => step !== 'retire'),
    listReplicas: stores.replicas.listByDeployment,
    activeUpstreams: async () => {
      if (ingress.mute) throw ingress.mute
      return ingress.active
    },
    recordAudit: () => {},
    serviceChanged,
    onError,
  })
  const removal = createWorker({
    name: 'removals',
    system,
    everyMs: 1_000,
    onError,
    run: createServiceRemoval({
      runtime,
      system,
      log: createSilentLog(),
      listDeleting: stores.services.listDeleting,
      countByProject: stores.services.countByProject,
      endDeployments: async (id) => {
        deployments.cancelOfService(id, 'The service was deleted.')
        await engine.idle(id)
      },
      removeLogs: async () => {},
      removeVolumes: (id) => removeVolumesOfService({ runtime, holds, mounts: volumes }, id),
      networkOf: networkName,
      listImages: (id) => listImagesOf(runtime, stores.deployments.listIdsOfService(id)),
      removeRow: (service) =>
        database.transact(() => {
          stores.services.remove(service.id)
          images.removeHidden(service)
        }),
      removed: () => {},
    }),
  })
  const services = createServiceOperations({
    database,
    store: stores.services,
    secrets: world.secrets,
    system,
    recordAudit: () => {},
    projects: stores.projects,
    observe: intents.observe,
    redeploy: deployments.redeployService,
    cancelDeployments: deployments.cancelOfService,
    settleSource: (_actor, _projectId, source) => source,
    noteOnSource: () => undefined,
    hideImages: (_actor, service) => {
      const own = stores.deployments.listIdsOfService(service.id)
      return images.hideRepositories(service, { isOwn: (id) => own.includes(id), takesOthers: true })
    },
    hasWebhook: () => false,
    listVolumes: (id) => stores.volumes.listByService(id).map(({ name }) => name),
    domains: { hostnamesOf: () => [], setHostnames: () => {}, removeOfService: () => {} },
    removeService: async () => {
      await routes.publish()
      removal.nudge()
    },
    serviceChanged,
    routed: routes.publish,
    urlOf: () => 'http://url/',
  })
  const volumeRemoval = createWorker({
    name: 'volumes',
    system,
    everyMs: 1_000,
    onError,
    run: (signal) => removeVolumes({ runtime, store: stores.volumes, holds }, signal),
  })
  const volumeOperations = createVolumeOperations({
    database,
    system,
    store: stores.volumes,
    runtime,
    mounts: volumes,
    holds,
    syncVolume: createVolumeSync(runtime, (directory) => world.disk.sync(directory)),
    sizes: { measure: async (directories) => directories.map(() => null) },
    recordAudit: (_, entry) => void world.audited.push(entry),
    findService: stores.services.find,
    listReleases: ({ id }) => stores.deployments.listInUse(id),
    requireRoom: async () => {},
    retireReplicas: (id) => void stores.replicas.markDraining(id, system.nowIso()),
    replicasRetired: async () => {
      reconciler.worker.nudge()
      await routes.publish()
    },
    removalsChanged: volumeRemoval.nudge,
  })
  return {
    life,
    volumes: volumeOperations,
    stores,
    intents,
    routes,
    reconciler,
    engine,
    autoscaler,
    deployments,
    services,
    images,
    /** What nobody expected. */
    errors,
    /** Begins the background work, as the daemon does at its start. */
    start: async (): Promise<void> => {
      await sweepWorkFolders(
        join(world.dataDir, 'work'),
        (id) => (stores.deployments.find(id)?.step ?? null) !== null,
      )
      await sweepReleaseCommands(runtime, stores.deployments.isInReleaseCommand)
      removal.start()
      volumeRemoval.start()
      reconciler.start(() => {
        routes.worker.start()
        engine.worker.start()
        autoscaler.worker.start()
      })
    },
    expireImages: (keep: number) =>
      removeExpiredImages(
        {
          runtime,
          system,
          database,
          store: stores.deployments,
          images: stores.deploymentImages,
          library,
          keep,
        },
        new AbortController().signal,
      ),
    /** An orderly stop. */
    stop: async (): Promise<void> => {
      if (life.isDead) return
      await autoscaler.worker.stop()
      await engine.stop()
      await recovery.stop()
      await reconciler.stop()
      await Promise.all([routes.worker.stop(), removal.stop(), volumeRemoval.stop()])
    },
  }
}
