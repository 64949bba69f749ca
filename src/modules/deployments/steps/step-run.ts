import { isAppError, messageOf } from '../../../lib/errors.ts'
import type { System } from '../../../lib/system.ts'
import type { DeploymentRow, Step } from '../deployment-schema.ts'
import { DeploymentFailed, StepAborted, type StepContext, type StepWork } from './step.ts'

export interface StepRunDeps {
  system: System
  steps: Readonly<Record<Step, StepWork>>
  /** How long a step may take, in milliseconds; null when the step itself sees to that. */
  timeoutOf: (step: Step, deployment: DeploymentRow) => number | null
  /** Whether the release serves already: then nothing that follows makes it fail. */
  isLive: (deploymentId: string) => boolean
  onInternalError: (error: unknown, deployment: DeploymentRow) => void
}

/** How the work on a step ended. `stopped`: the daemon stops, the next one goes on from here. */
export type StepEnd =
  | { how: 'done'; record: (() => void) | undefined }
  | { how: 'stopped' }
  | { how: 'failed' | 'cancelled'; reason: string }

/** An end of one attempt that is not the wanted one, and what may change it. */
type Trouble = { how: 'failed' | 'cancelled'; reason: string; cure: 'engine' | 'time' | 'none' }

const RETRY_MS = 1_000
/** How long a deployment waits for an engine that is away. */
const ENGINE_PATIENCE_MS = 10 * 60_000
/** How long a live one tries before it leaves the rest to the loops in the background; the next deployment waits meanwhile. */
const LIVE_PATIENCE_MS = 60_000

/**
 * Works on a step until it has ended: waits while the engine is away, and tries again what goes wrong once the release is live. Never
 * throws: a deployment records its own failures.
 */
export async function runStep(
  deps: StepRunDeps,
  step: Step,
  context: Omit<StepContext, 'signal'>,
  stop: AbortSignal,
): Promise<StepEnd> {
  const { id } = context.deployment
  const engine = createPatience(deps.system, ENGINE_PATIENCE_MS)
  const live = createPatience(deps.system, LIVE_PATIENCE_MS)
  for (;;) {
    const end = await tryOnce(deps, step, context, stop)
    if (!('cure' in end)) return end
    const { how, reason, cure } = end
    if (cure === 'engine' && engine.isNew())
      context.log('The container engine cannot be reached; waiting for it.')
    const waits =
      (cure === 'engine' && !engine.isOver()) || (cure === 'time' && deps.isLive(id) && !live.isOver())
    if (!waits) {
      if (!deps.isLive(id)) return { how, reason }
      context.log(`${reason} The release is live; the rest is done in the background.`)
      return { how: 'done', record: undefined }
    }
    await deps.system.sleep(RETRY_MS, stop).catch(() => {})
  }
}

async function tryOnce(
  deps: StepRunDeps,
  step: Step,
  context: Omit<StepContext, 'signal'>,
  stop: AbortSignal,
): Promise<Exclude<StepEnd, { how: 'failed' | 'cancelled' }> | Trouble> {
  const { deployment } = context
  const deadline = withDeadline(deps.system, stop, deps.timeoutOf(step, deployment))
  try {
    deadline.signal.throwIfAborted()
    const record = await deps.steps[step]({ ...context, signal: deadline.signal })
    return { how: 'done', record: record ?? undefined }
  } catch (error) {
    return judge(deps, step, deployment, deadline.signal.aborted ? deadline.signal.reason : error)
  } finally {
    deadline.clear()
  }
}

function judge(
  deps: StepRunDeps,
  step: Step,
  deployment: DeploymentRow,
  error: unknown,
): { how: 'stopped' } | Trouble {
  if (error instanceof StepAborted) {
    if (error.why === 'shutdown') return { how: 'stopped' }
    if (error.why === 'cancelled') return { how: 'cancelled', reason: 'Cancelled.', cure: 'none' }
    const seconds = Math.round((deps.timeoutOf(step, deployment) ?? 0) / 1000)
    return { how: 'failed', reason: `The ${step} step took longer than ${seconds} s.`, cure: 'none' }
  }
  if (error instanceof DeploymentFailed) return { how: 'failed', reason: error.message, cure: 'none' }
  if (isAppError(error)) {
    const details = (error.details ?? []).map(({ field, message }) =>
      field === undefined ? message : `${field} ${message}`,
    )
    const cure = error.code === 'RUNTIME_UNAVAILABLE' ? 'engine' : 'time'
    return { how: 'failed', reason: [error.message, ...details].join(' '), cure }
  }
  deps.onInternalError(error, deployment)
  return {
    how: 'failed',
    reason: `The ${step} step met an internal error: ${messageOf(error)}`,
    cure: 'time',
  }
}

/** Measures how long something has been going wrong, from the first time on. */
function createPatience(system: System, ms: number): { isNew(): boolean; isOver(): boolean } {
  let since: number | undefined
  return {
    isNew: () => since === undefined,
    isOver: () => {
      since ??= system.monotonic()
      return system.monotonic() - since >= ms
    },
  }
}

function withDeadline(
  system: System,
  stop: AbortSignal,
  ms: number | null,
): { signal: AbortSignal; clear: () => void } {
  if (ms === null) return { signal: stop, clear: () => {} }
  const timer = new AbortController()
  const clear = system.later(ms, () => timer.abort(new StepAborted('timeout')))
  return { signal: AbortSignal.any([stop, timer.signal]), clear }
}
