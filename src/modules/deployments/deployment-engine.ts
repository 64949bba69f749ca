import { join } from 'node:path'
import type { Config } from '../../config.ts'
import type { System } from '../../lib/system.ts'
import type { Runtime } from '../../runtime/runtime.ts'
import type { Database } from '../../store/database.ts'
import type { RecordAudit } from '../audit/audit.ts'
import type { ImageSource } from '../registries/image-source.ts'
import type { GitSource } from '../git/git-source.ts'
import {
  canaryReplicas,
  type DesiredState,
  replicasOf,
  type ServiceRow,
  writesVolumes,
} from '../services/service-schema.ts'
import type { VolumeMounts } from '../volumes/volume-mounts.ts'
import { createDeploymentQueue, type DeploymentQueue, type DeploymentQueueDeps } from './deployment-queue.ts'
import type { DeploymentRow, Step } from './deployment-schema.ts'
import type { DeploymentStore } from './deployment-store.ts'
import { makeCanary, type ReleaseCanaryDeps } from './release-canary.ts'
import { makeLive, swapBack } from './release-swap.ts'
import { createBake } from './steps/bake.ts'
import { createCutoverSteps, type CutoverStepDeps } from './steps/cutover-steps.ts'
import type { EnvFileStepDeps } from './steps/env-file.ts'
import { createReleaseCommand } from './steps/release-command.ts'
import { checkSeconds } from './steps/replica-check.ts'
import { createSourceSteps, type SourceStepDeps } from './steps/source-steps.ts'
import { createStartSteps } from './steps/start-steps.ts'
import { createPublishStep } from './steps/publish-step.ts'
import type { ReplicaRows } from './steps/step.ts'
import type { OpenReleaseEnv } from './release-env.ts'
import type { ReleaseLibrary } from './release-library.ts'
import { builds, type SourceFetchers } from './sources/source-fetch.ts'
import { createImageFetcher, createTagLook } from './sources/image-source.ts'
import { createGitFetcher } from './sources/git-source.ts'
import { createReleaseFetcher } from './sources/release-source.ts'
import { createUploadFetcher, type UploadFetchDeps } from './sources/upload-source.ts'
import { createWorkFolders } from './work-folders.ts'

export interface DeploymentEngineDeps {
  database: Database
  system: System
  store: DeploymentStore
  runtime: Runtime
  replicas: ReplicaRows
  recordAudit: RecordAudit
  settings: Pick<Config, 'data_dir' | 'deploy_concurrency' | 'drain_seconds' | 'drain_upgraded_seconds'>
  services: {
    find: (id: string) => ServiceRow | undefined
    setLive: (id: string, deploymentId: string, now: string) => void
    setDesiredState: (id: string, state: DesiredState, now: string) => void
    setCanary: ReleaseCanaryDeps['services']['setCanary']
    hostnameOf: (id: string) => string
  }
  projectNameOf: (projectId: string) => string | undefined
  openEnv: OpenReleaseEnv
  volumes: Pick<VolumeMounts, 'startAlone' | 'takeOver' | 'requireNoneLost' | 'lastRestoreOf'>
  unpackUpload: UploadFetchDeps['unpackUpload']
  fetchGit: GitSource['fetch']
  secrets: EnvFileStepDeps['secrets']
  openEnvFile: EnvFileStepDeps['openEnvFile']
  maskAlso: EnvFileStepDeps['maskAlso']
  buildSource: SourceStepDeps['buildSource']
  /** Where images come from that somebody else made. */
  images: ImageSource
  /** Records which image a deployment is to be, once. */
  setDigest: (deploymentId: string, digest: string) => void
  /** Where releases are kept besides the engine. */
  library: ReleaseLibrary
  publishRoutes: CutoverStepDeps['publishRoutes']
  inFlight: CutoverStepDeps['inFlight']
  prepareLog: DeploymentQueueDeps['prepareLog']
  appendLog: DeploymentQueueDeps['appendLog']
  over: DeploymentQueueDeps['over']
  /** Told of errors that nobody foresaw; of the queue itself, without a deployment. */
  onInternalError: (error: unknown, deployment?: DeploymentRow) => void
}

const FETCH_MS = 15 * 60_000
/** Of the whole image, from wherever it is. */
const IMAGE_FETCH_MS = 60 * 60_000
/** Of the whole image, however large. */
const PUBLISH_MS = 60 * 60_000
const START_MS = 3 * 60_000
/** What the longest pre-stop and grace times take of a release that is stopped first. */
const LEAVE_MS = 10 * 60_000
const ROUTE_MS = 60_000
/** Beyond the time that a step grants to others. */
const SLACK_MS = 30_000

/** Puts the steps of a deployment together and returns the queue that runs them. */
export function createDeploymentEngine(deps: DeploymentEngineDeps): DeploymentQueue {
  const { store, settings, services } = deps
  const workDir = join(settings.data_dir, 'work')
  const lookAtTag = createTagLook({ images: deps.images, find: store.find, setTag: store.setTag })
  const release = createReleaseFetcher({ ...deps, lookAtTag })
  const fetchers: SourceFetchers = {
    upload: createUploadFetcher(deps),
    external_image: createImageFetcher({ ...deps, setDigest: deps.setDigest }),
    git: createGitFetcher(deps),
    redeploy: release,
    rollback: release,
  }
  const leaving = {
    graceOf: (id: string) => store.find(id)?.config.stop_grace_seconds ?? 0,
    preStopOf: (id: string) => store.find(id)?.config.pre_stop_seconds ?? 0,
    drainSeconds: settings.drain_seconds,
    drainUpgradedSeconds: settings.drain_upgraded_seconds,
  }
  const folders = createWorkFolders({ workDir, fetchers })
  const isOver = (deployment: DeploymentRow): void => {
    deps.over(deployment)
    folders.remove(deployment.id).catch((error: unknown) => deps.onInternalError(error, deployment))
  }
  const tellOver = (id: string): void => {
    const deployment = store.find(id)
    if (deployment) isOver(deployment)
  }
  return createDeploymentQueue({
    ...deps,
    steps: {
      ...createSourceSteps({
        ...deps,
        fetchers,
        folders,
        setArtifact: (id, found) => store.setArtifact(id, found, deps.system.nowIso()),
        setCommit: store.setCommit,
        setFileEnv: store.setFileEnv,
      }),
      ...createPublishStep({
        library: deps.library,
        setArtifact: (id, found) => store.setArtifact(id, found, deps.system.nowIso()),
      }),
      ...createReleaseCommand({
        ...deps,
        afterCommit: deps.database.afterCommit,
        onError: deps.onInternalError,
      }),
      ...createStartSteps({
        ...deps,
        wantedReplicas: ({ service_id, config, canary_percent }) => {
          const wanted = services.find(service_id)?.replicas ?? 1
          return canary_percent === null ? replicasOf(config, wanted) : canaryReplicas(wanted, canary_percent)
        },
        hostnameOf: services.hostnameOf,
        ...leaving,
        startAlone: (deployment, start) => deps.volumes.startAlone(deployment, () => true, start),
        takeOver: deps.volumes.takeOver,
        requireNoneLost: deps.volumes.requireNoneLost,
        claim: store.setStopFirst,
      }),
      ...createCutoverSteps({
        ...deps,
        makeLive: (id) =>
          makeLive(
            {
              ...deps,
              markDraining: deps.replicas.markDraining,
              lastRestoreOf: deps.volumes.lastRestoreOf,
            },
            id,
          ),
        makeCanary: (id) => makeCanary({ ...deps, markDraining: deps.replicas.markDraining }, id),
        bake: createBake({
          ...deps,
          findDeployment: store.find,
          findService: services.find,
          hostnameOf: services.hostnameOf,
          isAwaited: store.hasOtherOpen,
          swapBack: (id, well, reason) =>
            swapBack({ ...deps, markDraining: deps.replicas.markDraining, over: tellOver }, id, well, reason),
          onError: deps.onInternalError,
        }),
        ...leaving,
        isAwaited: store.hasOtherOpen,
      }),
    },
    builds: (deployment) => builds(fetchers, deployment),
    concurrency: settings.deploy_concurrency,
    timeoutOf: (step, deployment) => timeoutOf(settings, store, step, deployment),
    namesOf: (deployment) => {
      const service_name = services.find(deployment.service_id)?.name
      const project_name = deps.projectNameOf(deployment.project_id)
      return service_name === undefined || project_name === undefined
        ? undefined
        : { service_name, project_name }
    },
    over: isOver,
    onQueueError: deps.onInternalError,
  })
}

function timeoutOf(
  settings: DeploymentEngineDeps['settings'],
  store: DeploymentStore,
  step: Step,
  deployment: DeploymentRow,
): number | null {
  switch (step) {
    case 'fetch':
      // A repository has the time that the settings give it.
      if (deployment.source.type === 'git') return null
      return deployment.source.type === 'external_image' ? IMAGE_FETCH_MS : FETCH_MS
    case 'build':
      // It waits in a queue first, for as long as it takes; the build itself has its own time.
      return null
    case 'publish':
      return PUBLISH_MS
    case 'release_command':
      return deployment.config.release_timeout_seconds * 1000
    case 'start':
      return START_MS + (writesVolumes(deployment.config) ? settings.drain_seconds * 1000 + LEAVE_MS : 0)
    case 'check':
      return checkSeconds(deployment.config) * 1000 + SLACK_MS
    case 'route':
      return ROUTE_MS
    case 'retire': {
      const replaced = deployment.replaces_id === null ? undefined : store.find(deployment.replaces_id)
      const { pre_stop_seconds = 0, stop_grace_seconds = 0 } = replaced?.config ?? {}
      const drain = Math.max(settings.drain_seconds, settings.drain_upgraded_seconds, pre_stop_seconds)
      return (deployment.config.bake_seconds + drain + stop_grace_seconds) * 1000 + SLACK_MS
    }
  }
}
