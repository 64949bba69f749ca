import { messageOf } from '../lib/errors.ts'
import { BuildkitProgress } from './buildkit-progress.ts'
import { decodeStatus } from './buildkit-status.ts'
import { createClassicProgress } from './classic-progress.ts'
import type { BuildLine } from './runtime.ts'

/** Reads the messages of a build, whichever builder sends them. */
export interface BuildProgress {
  push(message: Record<string, unknown>): void
  finish(): void
  /** The id of the image that came out of it. */
  imageId(): string | undefined
  /** Why the build failed, if it said so. */
  failure(): string | undefined
}

const TRACE = 'moby.buildkit.trace'

export function createBuildProgress(onLine: (line: BuildLine) => void): BuildProgress {
  const buildkit = new BuildkitProgress(onLine)
  const classic = createClassicProgress(onLine)
  let imageId: string | undefined
  let error: string | undefined

  const pushTrace = (trace: string): void => {
    try {
      buildkit.push(decodeStatus(Buffer.from(trace, 'base64')))
    } catch (error) {
      // Progress that we cannot read must not fail a build that works.
      if (!(error instanceof RangeError)) throw error
      onLine({ stream: 'status', line: `(progress that cannot be read: ${messageOf(error)})` })
    }
  }

  return {
    push: (message) => {
      const { id, aux, error: reported } = message
      if (typeof reported === 'string') error ??= reported
      else if (id === TRACE && typeof aux === 'string') pushTrace(aux)
      else if (typeof aux === 'object' && aux !== null && 'ID' in aux && typeof aux.ID === 'string')
        imageId = aux.ID
      else classic.push(message)
    },
    finish: () => {
      buildkit.finish()
      classic.finish()
    },
    imageId: () => imageId,
    failure: () =>
      error === undefined ? undefined : describeFailure(error, buildkit.failure()?.step ?? classic.step()),
  }
}

/** One sentence: the step, and what it said in the end. */
export function describeFailure(error: string, step: string | undefined): string {
  const code = /(?:exit code: |returned a non-zero code: )(\d+)/.exec(error)?.[1]
  const place =
    step === undefined || step === '' || step.startsWith('[internal]')
      ? 'The build'
      : `The step ${quoteStep(step)}`
  if (code === undefined) return `${place} failed: ${error.replace(SOLVER_PREFIX, '').trim()}`
  const hint = code === '137' ? ' (it was killed, most likely for using more memory than a build may)' : ''
  return `${place} failed with exit code ${code}${hint}.`
}

/** What BuildKit's layers put in front of a reason. */
const SOLVER_PREFIX =
  /^failed to solve(?: with frontend [\w./-]+)?: (?:failed to (?:create LLB definition|read dockerfile): )?/

const MAX_STEP_LENGTH = 200

function quoteStep(step: string): string {
  return `"${step.length > MAX_STEP_LENGTH ? `${step.slice(0, MAX_STEP_LENGTH)}...` : step}"`
}
