import type { System } from '../../lib/system.ts'
import type { Database } from '../../store/database.ts'
import type { DeploymentRow, DeploymentState, Step } from './deployment-schema.ts'
import { STEPS } from './deployment-schema.ts'
import type { DeploymentStore } from './deployment-store.ts'
import { runStep, type StepEnd, type StepRunDeps } from './steps/step-run.ts'

export interface RunnerDeps extends Omit<StepRunDeps, 'isLive'> {
  database: Database
  system: System
  store: DeploymentStore
  /** Undefined when the service is gone. */
  namesOf: (deployment: DeploymentRow) => { service_name: string; project_name: string } | undefined
  /** Called before the first line is written, in every daemon that works on it. */
  prepareLog: (deployment: DeploymentRow) => Promise<void>
  appendLog: (
    deploymentId: string,
    entry: { step: Step | null; stream: 'status' | 'stdout' | 'stderr'; line: string },
  ) => void
  /** Called once a deployment is over, with its final state. */
  over: (deployment: DeploymentRow) => void
}

/** How the state follows from the step that is under way. */
const STATE_DURING: Readonly<Record<Step, DeploymentState>> = {
  fetch: 'Building',
  build: 'Building',
  publish: 'Building',
  release_command: 'Starting',
  start: 'Starting',
  check: 'Starting',
  route: 'Starting',
  retire: 'Healthy',
}

/** How often a step is begun: what kills the daemon each time must not keep it from living. */
const MOST_BEGINNINGS = 10

/**
 * Takes one deployment through its steps, from wherever it stands, until it is over. Returns early, with everything recorded, when `stop`
 * aborts; the next daemon goes on from there. `isFirst` says that this daemon has not worked on it before.
 */
export async function runDeployment(
  deps: RunnerDeps,
  id: string,
  isFirst: boolean,
  stop: AbortSignal,
): Promise<void> {
  const found = deps.store.find(id)
  if (!found || found.step === null || !(await prepare(deps, found))) return
  resume(deps, id, isFirst)
  for (;;) {
    const deployment = deps.store.find(id)
    if (!deployment || deployment.step === null) return
    if (deployment.cancel_requested && !isLive(deployment))
      return finish(deps, deployment, 'cancelled', deployment.reason ?? 'Cancelled.')
    const end = await work(deps, deployment, deployment.step, stop)
    if (end.how === 'stopped') return
    if (end.how === 'done') recordDone(deps, id, deployment.step, end.record)
    else return finish(deps, deployment, end.how, reasonOf(deps, id, end))
  }
}

/** Whoever cancelled has left their reason. */
function reasonOf(
  deps: RunnerDeps,
  id: string,
  end: { how: 'failed' | 'cancelled'; reason: string },
): string {
  return (end.how === 'cancelled' ? deps.store.find(id)?.reason : null) ?? end.reason
}

/** A release that serves stays Healthy whatever its steps meet. */
function isLive(deployment: DeploymentRow | undefined): boolean {
  return deployment?.status === 'Healthy'
}

async function prepare(deps: RunnerDeps, deployment: DeploymentRow): Promise<boolean> {
  try {
    await deps.prepareLog(deployment)
    return true
  } catch (error) {
    deps.onInternalError(error, deployment)
    // What follows now writes no output of the application.
    if (isLive(deployment)) return true
    const reason = 'The variables of this deployment cannot be opened; see the log of the daemon.'
    finish(deps, deployment, 'failed', reason)
    return false
  }
}

/**
 * Goes on with what an earlier daemon began. What it started and checked may have ended meanwhile, with the machine perhaps, so nothing is
 * routed on its word.
 */
function resume(deps: RunnerDeps, id: string, isFirst: boolean): void {
  const { store, system } = deps
  const deployment = store.find(id)
  if (!deployment?.step || deployment.status === 'Pending' || deployment.cancel_requested) return
  if (!isLive(deployment) && (deployment.step === 'check' || deployment.step === 'route'))
    store.advance(id, deployment.step, 'start', STATE_DURING.start, system.nowIso())
  if (isFirst)
    deps.appendLog(id, { step: deployment.step, stream: 'status', line: 'Going on after an interruption.' })
}

async function work(
  deps: RunnerDeps,
  deployment: DeploymentRow,
  step: Step,
  stop: AbortSignal,
): Promise<StepEnd> {
  const { id } = deployment
  const names = deps.namesOf(deployment)
  if (!names && isLive(deployment)) return { how: 'done', record: undefined }
  if (!names) return { how: 'cancelled', reason: 'The service was deleted.' }
  const begun = deps.store.listSteps([id]).find((each) => each.step === step)?.attempts ?? 0
  if (begun >= MOST_BEGINNINGS && !isLive(deployment))
    return {
      how: 'failed',
      reason: `The ${step} step was interrupted ${begun} times, by stops or deaths of the daemon.`,
    }
  if (!recordBegin(deps, deployment, step)) return { how: 'stopped' }
  return runStep(
    { ...deps, isLive: (deploymentId) => isLive(deps.store.find(deploymentId)) },
    step,
    {
      deployment,
      ...names,
      log: (line, stream = 'status') => deps.appendLog(id, { step, stream, line }),
      system: deps.system,
    },
    stop,
  )
}

function recordBegin(
  { database, store, system }: RunnerDeps,
  deployment: DeploymentRow,
  step: Step,
): boolean {
  return database.transact(() => {
    const now = system.nowIso()
    const status = isLive(deployment) ? 'Healthy' : STATE_DURING[step]
    if (!store.advance(deployment.id, step, step, status, now)) return false
    store.beginStep(deployment.id, step, now)
    return true
  })
}

function recordDone(
  { database, store, system, over }: RunnerDeps,
  id: string,
  step: Step,
  record: (() => void) | undefined,
): void {
  const skipped = store.listSkipped(id)
  const next = STEPS.slice(STEPS.indexOf(step) + 1).find((each) => !skipped.includes(each)) ?? null
  database.transact(() => {
    const now = system.nowIso()
    const status = next === null || isLive(store.find(id)) ? 'Healthy' : STATE_DURING[next]
    if (!store.advance(id, step, next, status, now)) return
    record?.()
    store.endStep(id, step, 'done', now)
    if (next === null) database.afterCommit(() => tellOver(store, over, id))
  })
}

function finish(
  { database, store, system, appendLog, over }: RunnerDeps,
  { id, step }: Pick<DeploymentRow, 'id' | 'step'>,
  how: 'failed' | 'cancelled',
  reason: string,
): void {
  const lines = [how === 'failed' ? `Failed: ${reason}` : reason]
  if ((store.find(id)?.stop_first_at ?? null) !== null)
    lines.push('What was stopped for it, if anything, is started again.')
  database.transact(() => {
    const now = system.nowIso()
    if (step !== null) store.endStep(id, step, how, now)
    store.finish(id, how === 'failed' ? 'Failed' : 'Cancelled', reason, now)
    database.afterCommit(() => {
      // Only what is recorded is so. The log closes with the end.
      for (const line of lines) appendLog(id, { step, stream: 'status', line })
      tellOver(store, over, id)
    })
  })
}

function tellOver(store: DeploymentStore, over: RunnerDeps['over'], id: string): void {
  const deployment = store.find(id)
  if (deployment) over(deployment)
}
