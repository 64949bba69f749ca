import { diskFullOf } from '../lib/disk-trouble.ts'
import { createAutoscaler } from '../modules/autoscale/autoscaler.ts'
import { createBuilds } from '../modules/builds/build-operations.ts'
import { openSourceFolder } from '../modules/builds/source-folder.ts'
import { createEnvFiles } from '../modules/secrets/env-file.ts'
import { createDeploymentEngine } from '../modules/deployments/deployment-engine.ts'
import { createImageRecovery } from '../modules/deployments/image-recovery.ts'
import { createReleaseEnv } from '../modules/deployments/release-env.ts'
import { createReleaseLibrary } from '../modules/deployments/release-library.ts'
import { createDeploymentOperations } from '../modules/deployments/deployment-operations.ts'
import { createReleaseSettings } from '../modules/deployments/release-settings.ts'
import { createFreezeOperations } from '../modules/freezes/freeze-operations.ts'
import { blocksLiveRelease } from '../modules/replicas/replica-departure.ts'
import { createReplicaKeeper } from '../modules/replicas/replica-keeper.ts'
import { createReconciler } from '../modules/replicas/replica-reconciler.ts'
import { createUploadFiles } from '../modules/uploads/upload-files.ts'
import { createUploadOperations } from '../modules/uploads/upload-operations.ts'
import { createDockerRuntime } from '../runtime/docker-runtime.ts'
import type { DeploymentRow } from '../modules/deployments/deployment-schema.ts'
import type { ImagesPart } from './images.ts'
import type { RegistryPart } from './registry.ts'
import { composeVolumes } from './volumes.ts'
import { composeLogs } from './logs.ts'
import { type Base, reporter } from './base.ts'
import type { Access } from './access.ts'
import type { GitPart } from './git.ts'
import type { Traffic } from './traffic.ts'

/** Everything between an upload and a running replica. */
export async function composeDelivery(
  base: Base,
  { secrets, audit, identity }: Access,
  traffic: Traffic,
  registry: RegistryPart,
  { images, check }: ImagesPart,
  git: GitPart,
) {
  const { config, log, system, stores, state } = base
  const { database, nodeId } = state
  const runtime =
    base.runtime ??
    createDockerRuntime({
      socketPath: config.docker_socket,
      nodeId,
      system,
      networkPool: config.network_pool,
    })
  const logs = composeLogs(base, { secrets, audit, identity }, runtime)
  const uploadFiles = createUploadFiles({
    dataDir: config.data_dir,
    diskReserveBytes: config.disk_reserve_bytes,
  })
  const uploads = createUploadOperations({
    database,
    store: stores.uploads,
    files: uploadFiles,
    system,
    recordAudit: audit.record,
    projectOfService: stores.services.projectOf,
    settings: config,
  })
  const builds = createBuilds({
    runtime,
    system,
    settings: config,
  })
  const library = createReleaseLibrary({
    runtime,
    images: registry.images,
    registryHost: () => registry.entry.host(),
  })
  const recovery = createImageRecovery({ library, onError: reporter(base, 'images') })
  const volumes = composeVolumes(base, { secrets, audit, identity }, runtime)
  const openEnv = createReleaseEnv(stores.deployments, secrets)
  const keeper = createReplicaKeeper({
    recoverImage: recovery.recover,
    runtime,
    system,
    store: stores.replicas,
    openEnv,
    hostnameOf: traffic.hostnameOf,
    inFlight: traffic.ingress.inFlight,
    publishRoutes: traffic.routes.publish,
    routesChanged: traffic.routes.worker.nudge,
    startAlone: (live, start) =>
      volumes.mounts.startAlone(
        live,
        () =>
          stores.services.find(live.service_id)?.live_deployment_id === live.id &&
          !stores.deployments.isTakenOver(live.service_id, live.id),
        start,
      ),
    graceOf: (deploymentId) => stores.deployments.find(deploymentId)?.config.stop_grace_seconds,
    preStopOf: (deploymentId) => stores.deployments.find(deploymentId)?.config.pre_stop_seconds,
    isInTheWay: (deploymentId) => {
      const release = stores.deployments.find(deploymentId)
      return release !== undefined && blocksLiveRelease(release, stores.services.find(release.service_id))
    },
    drainSeconds: config.drain_seconds,
    drainUpgradedSeconds: config.drain_upgraded_seconds,
  })
  const reconciler = createReconciler({
    runtime,
    system,
    store: stores.replicas,
    keeper,
    listIntents: traffic.intents.listIntents,
    observed: logs.observe,
    onError: reporter(base, 'replicas'),
  })
  const closeLog = ({ id, status }: DeploymentRow): void => {
    logs.deployments.close(id, status).catch(reporter(base, 'deployment-logs'))
  }
  const waitsForRoom = reporter(base, 'deployments')
  const engine = createDeploymentEngine({
    database,
    system,
    store: stores.deployments,
    runtime,
    replicas: stores.replicas,
    recordAudit: audit.record,
    settings: config,
    services: { ...stores.services, hostnameOf: traffic.hostnameOf },
    projectNameOf: traffic.projectNameOf,
    openEnv,
    volumes: volumes.mounts,
    unpackUpload: async (id, directory, signal) => {
      const summary = await uploads.unpackUpload(id, directory, { signal })
      return { entries: summary.entries, bytes: summary.unpacked_bytes }
    },
    fetchGit: async (request) => {
      await uploadFiles.requireRoom(0)
      return git.source.fetch(request)
    },
    buildSource: async (request) => {
      // A build is the surest way to fill a disk; what is full stops everything, so it does not begin.
      await uploadFiles.requireRoom(0)
      return builds.buildSource(request)
    },
    images,
    setDigest: stores.deploymentImages.setDigest,
    library,
    publishRoutes: traffic.routes.publish,
    inFlight: traffic.ingress.inFlight,
    secrets,
    openEnvFile: createEnvFiles({
      secrets,
      system,
      readText: (directory, path, maxBytes) => openSourceFolder(directory).readText(path, maxBytes),
    }),
    maskAlso: logs.deployments.addMasks,
    prepareLog: logs.prepare,
    appendLog: logs.deployments.append,
    over: (deployment) => {
      closeLog(deployment)
      reconciler.worker.nudge()
    },
    onInternalError: (error, deployment) => {
      if (diskFullOf(error) !== undefined) waitsForRoom(error)
      else log.error({ err: error, deployment_id: deployment?.id }, 'a deployment met an internal error')
    },
  })
  const autoscaler = createAutoscaler({
    database,
    system,
    runtime,
    services: stores.services,
    listLiveDeployments: stores.deployments.listLive,
    isDeploying: (serviceId) =>
      stores.deployments.listOpenOfService(serviceId).some(({ step }) => step !== 'retire'),
    listReplicas: stores.replicas.listByDeployment,
    activeUpstreams: traffic.ingress.activeUpstreams,
    recordAudit: audit.record,
    serviceChanged: () => {
      traffic.routes.worker.nudge()
      reconciler.worker.nudge()
    },
    onError: reporter(base, 'autoscale'),
  })
  traffic.ingress.onHeld(autoscaler.wake)
  const freezes = createFreezeOperations({
    database,
    store: stores.freezes,
    system,
    recordAudit: audit.record,
  })
  const deployments = createDeploymentOperations({
    database,
    system,
    store: stores.deployments,
    recordAudit: audit.record,
    services: {
      find: stores.services.find,
      urlOf: traffic.urlOf,
      setCanary: stores.services.setCanary,
      canaryOf: traffic.canaryOf,
    },
    markDraining: stores.replicas.markDraining,
    publishRoutes: traffic.routes.publish,
    replicasChanged: reconciler.worker.nudge,
    onError: reporter(base, 'routes'),
    settings: createReleaseSettings({
      secrets,
      inherited: (id) =>
        stores.projects.load(id) ?? { shared_env_sealed: null, default_resource_limits: null },
      nodeLimits: {
        cpu_millis: config.default_cpu_millis,
        memory_bytes: config.default_memory_bytes,
        pids: config.default_pids,
      },
    }),
    takeUpload: uploads.takeUpload,
    requireUnfrozen: freezes.requireUnfrozen,
    library,
    imageCheck: check,
    gitAllowsHttp: config.git_allow_http,
    hasImage: async (id) => (await runtime.findImage(id)) !== undefined,
    deploymentsChanged: engine.worker.nudge,
    over: closeLog,
  })
  const volumeOperations = volumes.operationsFor({
    requireRoom: uploadFiles.requireRoom,
    replicasRetired: async () => {
      reconciler.worker.nudge()
      await traffic.routes.publish().catch(reporter(base, 'routes'))
    },
  })
  return {
    runtime,
    logs,
    library,
    recovery,
    uploadFiles,
    uploads,
    reconciler,
    engine,
    deployments,
    freezes,
    autoscaler,
    volumes: {
      ...volumeOperations,
      worker: volumes.worker,
      removeOfService: volumes.removeOfService,
    },
  }
}
export type Delivery = Awaited<ReturnType<typeof composeDelivery>>
