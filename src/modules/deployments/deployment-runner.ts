import { AppError, isAppError, messageOf } from '../../lib/errors.ts'
import type { System } from '../../lib/system.ts'
import type { Database } from '../../store/database.ts'
import type { DeploymentRow, DeploymentState, Step } from './deployment-schema.ts'
import { STEPS } from './deployment-schema.ts'
import type { DeploymentStore } from './deployment-store.ts'
import { DeploymentFailed, StepAborted, type StepContext, type StepWork } from './steps/step.ts'

export interface RunnerDeps {
  database: Database
  system: System
  store: DeploymentStore
  steps: Readonly<Record<Step, StepWork>>
  /** How long each step may take, in milliseconds. */
  timeoutOf: (step: Step, deployment: DeploymentRow) => number
  namesOf: (deployment: DeploymentRow) => { service_name: string; project_name: string } | undefined
  /** Called before the first line is written, in every daemon that works on it. */
  prepareLog: (deployment: DeploymentRow) => Promise<void>
  appendLog: (
    deploymentId: string,
    entry: { step: Step | null; stream: 'status' | 'stdout' | 'stderr'; line: string },
  ) => void
  /** Called once a deployment is over, with its final state. */
  over: (deployment: DeploymentRow) => void
  onInternalError: (error: unknown, deployment: DeploymentRow) => void
}

/** How the state follows from the step that is under way. */
const STATE_DURING: Readonly<Record<Step, DeploymentState>> = {
  fetch: 'Building',
  build: 'Building',
  start: 'Starting',
  check: 'Starting',
  route: 'Starting',
  retire: 'Healthy',
}

const ENGINE_PAUSE_MS = 1_000
/** How long a deployment waits for an engine that is away. */
const ENGINE_PATIENCE_MS = 10 * 60_000
/** What is live already is never failed for what comes after; leftovers are the reconciler's then. */
const LIVE_ATTEMPTS = 5

/**
 * Takes one deployment through its steps, from wherever it stands, until it is over. Returns early, with everything recorded, when `stop`
 * aborts; the next daemon goes on from there.
 */
export async function runDeployment(deps: RunnerDeps, id: string, stop: AbortSignal): Promise<void> {
  const given = deps.store.find(id)
  if (!given) return
  try {
    await deps.prepareLog(given)
  } catch (error) {
    deps.onInternalError(error, given)
    return finish(
      deps,
      given,
      'failed',
      'The variables of this deployment cannot be opened; see the log of the daemon.',
    )
  }
  for (;;) {
    const deployment = deps.store.find(id)
    if (!deployment || deployment.step === null) return
    const isLive = deployment.status === 'Healthy'
    if (deployment.cancel_requested && !isLive)
      return finish(deps, deployment, 'cancelled', deployment.reason ?? 'Cancelled.')
    const ended = await runStep(deps, deployment, deployment.step, stop)
    if (ended === 'stopped') return
    if (ended !== 'done') return finish(deps, deployment, ended.how, ended.reason)
  }
}

type StepEnd = 'done' | 'stopped' | { how: 'failed' | 'cancelled'; reason: string }

async function runStep(
  deps: RunnerDeps,
  deployment: DeploymentRow,
  step: Step,
  stop: AbortSignal,
): Promise<StepEnd> {
  const { database, store, system } = deps
  const names = deps.namesOf(deployment)
  if (!names) return { how: 'cancelled', reason: 'The service is gone.' }
  const begun = database.transact(() => {
    if (
      !store.advance(
        deployment.id,
        step,
        step,
        deployment.status === 'Healthy' ? 'Healthy' : STATE_DURING[step],
        system.nowIso(),
      )
    ) {
      return false
    }
    store.beginStep(deployment.id, step, system.nowIso())
    return true
  })
  if (!begun) return 'stopped'
  const log: StepContext['log'] = (line, stream = 'status') =>
    deps.appendLog(deployment.id, { step, stream, line })
  const begin = system.monotonic()
  let engineAway = false
  for (let attempt = 1; ; attempt += 1) {
    const deadline = withDeadline(system, stop, deps.timeoutOf(step, deployment))
    try {
      const context: StepContext = { deployment, ...names, signal: deadline.signal, log, system }
      const record = await deps.steps[step](context)
      recordDone(deps, deployment.id, step, record ?? undefined)
      return 'done'
    } catch (error) {
      const isLive = store.find(deployment.id)?.status === 'Healthy'
      const end = judge(deps, deployment, step, deadline.signal.aborted ? deadline.signal.reason : error)
      if (end === 'stopped') return end
      if (isAppError(error, 'RUNTIME_UNAVAILABLE') && system.monotonic() - begin < ENGINE_PATIENCE_MS) {
        if (!engineAway) log('The container engine cannot be reached; waiting for it.')
        engineAway = true
        attempt -= 1
      } else if (!isLive) return end
      else if (attempt >= LIVE_ATTEMPTS) {
        log(`${end.reason} The release is live; what is left of the old one is removed in the background.`)
        recordDone(deps, deployment.id, step, undefined)
        return 'done'
      }
    } finally {
      deadline.clear()
    }
    try {
      await system.sleep(ENGINE_PAUSE_MS, stop)
    } catch {
      return judge(deps, deployment, step, stop.reason)
    }
  }
}

function recordDone(deps: RunnerDeps, id: string, step: Step, record: (() => void) | undefined): void {
  const { database, store, system } = deps
  const next = STEPS[STEPS.indexOf(step) + 1] ?? null
  database.transact(() => {
    record?.()
    const now = system.nowIso()
    store.endStep(id, step, 'done', now)
    const status = store.find(id)?.status ?? 'Failed'
    store.advance(id, step, next, status === 'Healthy' ? status : STATE_DURING[next ?? step], now)
    if (next !== null) return
    database.afterCommit(() => {
      const over = store.find(id)
      if (over) deps.over(over)
    })
  })
}

/** What the end of a step means. Nothing is thrown on: a deployment records its own failures. */
function judge(
  deps: RunnerDeps,
  deployment: DeploymentRow,
  step: Step,
  error: unknown,
): Exclude<StepEnd, 'done'> {
  if (error instanceof StepAborted) {
    if (error.why === 'shutdown') return 'stopped'
    if (error.why === 'cancelled')
      return { how: 'cancelled', reason: deps.store.find(deployment.id)?.reason ?? 'Cancelled.' }
    return {
      how: 'failed',
      reason: `The ${step} step took longer than ${Math.round(deps.timeoutOf(step, deployment) / 1000)} s.`,
    }
  }
  if (error instanceof DeploymentFailed) return { how: 'failed', reason: error.message }
  if (error instanceof AppError) {
    const details = (error.details ?? []).map(
      (detail) => `${detail.field === undefined ? '' : `${detail.field} `}${detail.message}`,
    )
    return { how: 'failed', reason: [error.message, ...details].join(' ') }
  }
  deps.onInternalError(error, deployment)
  return { how: 'failed', reason: `The ${step} step met an internal error: ${messageOf(error)}` }
}

function finish(
  deps: RunnerDeps,
  deployment: DeploymentRow,
  how: 'failed' | 'cancelled',
  reason: string,
): void {
  const { database, store, system } = deps
  deps.appendLog(deployment.id, {
    step: deployment.step,
    stream: 'status',
    line: how === 'failed' ? `Failed: ${reason}` : reason,
  })
  database.transact(() => {
    const now = system.nowIso()
    if (deployment.step !== null) store.endStep(deployment.id, deployment.step, how, now)
    store.finish(deployment.id, how === 'failed' ? 'Failed' : 'Cancelled', reason, now)
    database.afterCommit(() => {
      const over = store.find(deployment.id)
      if (over) deps.over(over)
    })
  })
}

function withDeadline(
  system: System,
  stop: AbortSignal,
  ms: number,
): { signal: AbortSignal; clear: () => void } {
  const timer = new AbortController()
  const clear = system.later(ms, () => timer.abort(new StepAborted('timeout')))
  return { signal: AbortSignal.any([stop, timer.signal]), clear }
}
