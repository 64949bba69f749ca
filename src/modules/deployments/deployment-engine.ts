import { join } from 'node:path'
import type { Config } from '../../config.ts'
import type { System } from '../../lib/system.ts'
import type { Runtime } from '../../runtime/runtime.ts'
import type { Database } from '../../store/database.ts'
import type { RecordAudit } from '../audit/audit.ts'
import type { ReplicaStore } from '../replicas/replica-store.ts'
import type { DesiredState, ServiceRow } from '../services/service-schema.ts'
import { createDeploymentQueue, type DeploymentQueue } from './deployment-queue.ts'
import type { RunnerDeps } from './deployment-runner.ts'
import type { DeploymentRow, Step } from './deployment-schema.ts'
import type { DeploymentStore } from './deployment-store.ts'
import { makeLive } from './release-swap.ts'
import { createCutoverSteps, type CutoverStepDeps } from './steps/cutover-steps.ts'
import { createSourceSteps, type SourceStepDeps } from './steps/source-steps.ts'
import { createStartSteps } from './steps/start-steps.ts'

export interface DeploymentEngineDeps {
  database: Database
  system: System
  store: DeploymentStore
  runtime: Runtime
  replicas: ReplicaStore
  recordAudit: RecordAudit
  settings: Pick<
    Config,
    'data_dir' | 'deploy_concurrency' | 'build_timeout_seconds' | 'drain_seconds' | 'drain_upgraded_seconds'
  >
  services: {
    find: (id: string) => ServiceRow | undefined
    setLive: (id: string, deploymentId: string, now: string) => void
    setDesiredState: (id: string, state: DesiredState, now: string) => void
    hostnameOf: (id: string) => string
  }
  projectNameOf: (projectId: string) => string | undefined
  openEnv: (sealed: string) => Promise<Readonly<Record<string, string>>>
  unpackUpload: SourceStepDeps['unpackUpload']
  buildSource: SourceStepDeps['buildSource']
  publishRoutes: CutoverStepDeps['publishRoutes']
  inFlight: CutoverStepDeps['inFlight']
  prepareLog: RunnerDeps['prepareLog']
  appendLog: RunnerDeps['appendLog']
  over: RunnerDeps['over']
  onInternalError: RunnerDeps['onInternalError']
}

const FETCH_MS = 15 * 60_000
const START_MS = 3 * 60_000
const ROUTE_MS = 60_000
/** Beyond the time that a step grants to others. */
const SLACK_MS = 30_000

/** Puts the steps of a deployment together and returns the queue that runs them. */
export function createDeploymentEngine(deps: DeploymentEngineDeps): DeploymentQueue {
  const { store, settings, services } = deps
  const steps = {
    ...createSourceSteps({
      workDir: join(settings.data_dir, 'work'),
      unpackUpload: deps.unpackUpload,
      buildSource: deps.buildSource,
      setImage: (id, image, imageId) => store.setImage(id, image, imageId, deps.system.nowIso()),
    }),
    ...createStartSteps({
      runtime: deps.runtime,
      replicas: deps.replicas,
      openEnv: deps.openEnv,
      wantedReplicas: (id) => services.find(id)?.replicas ?? 1,
      hostnameOf: services.hostnameOf,
    }),
    ...createCutoverSteps({
      runtime: deps.runtime,
      replicas: deps.replicas,
      makeLive: (id) => makeLive({ ...deps, markDraining: deps.replicas.markDraining }, id),
      publishRoutes: deps.publishRoutes,
      inFlight: deps.inFlight,
      graceOf: (id) => store.find(id)?.config.stop_grace_seconds ?? 0,
      drainSeconds: settings.drain_seconds,
      drainUpgradedSeconds: settings.drain_upgraded_seconds,
    }),
  }
  return createDeploymentQueue({
    ...deps,
    steps,
    concurrency: settings.deploy_concurrency,
    timeoutOf: (step, deployment) => timeoutOf(settings, store, step, deployment),
    namesOf: (deployment) => {
      const service_name = services.find(deployment.service_id)?.name
      const project_name = deps.projectNameOf(deployment.project_id)
      return service_name === undefined || project_name === undefined
        ? undefined
        : { service_name, project_name }
    },
  })
}

function timeoutOf(
  settings: DeploymentEngineDeps['settings'],
  store: DeploymentStore,
  step: Step,
  deployment: DeploymentRow,
): number {
  switch (step) {
    case 'fetch':
      return FETCH_MS
    case 'build':
      return settings.build_timeout_seconds * 1000
    case 'start':
      return START_MS
    case 'check':
      return deployment.config.health_check.timeout_seconds * 1000 + SLACK_MS
    case 'route':
      return ROUTE_MS
    case 'retire': {
      const replaced = deployment.replaces_id === null ? undefined : store.find(deployment.replaces_id)
      const drain = Math.max(settings.drain_seconds, settings.drain_upgraded_seconds)
      return (drain + (replaced?.config.stop_grace_seconds ?? 0)) * 1000 + SLACK_MS
    }
  }
}
