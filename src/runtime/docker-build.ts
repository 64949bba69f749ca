import type { Readable } from 'node:stream'
import { AppError, isAppError } from '../lib/errors.ts'
import type { System } from '../lib/system.ts'
import type { BuildBounds } from './build-cgroup.ts'
import { openBuildSession } from './build-session.ts'
import { createBuildProgress } from './build-progress.ts'
import type { DockerEngine, StreamRequest } from './docker-engine.ts'
import { engineMessageOf, engineStatusOf, translateEngineError } from './docker-errors.ts'
import { readJsonLines } from './json-lines.ts'
import { LABELS } from './labels.ts'
import { BuildFailed } from './runtime.ts'
import type { BuildLine, BuildSpec, Runtime } from './runtime.ts'

/** Output beyond this is left out of the log; the build goes on. */
const MAX_OUTPUT_BYTES = 16 * 1024 * 1024
/** What a line costs beyond its text, so that many short ones count too. */
const LINE_OVERHEAD_BYTES = 32
/** A builder that says more in a second is made to wait: the classic one would otherwise keep this process busy with its output. */
const MAX_BYTES_PER_SECOND = 2 * 1024 * 1024
const UNBOUNDED = 'Note: this engine lets nobody bound the memory and processors of this build.'
const NEEDS_BUILDKIT =
  "build_secrets needs BuildKit: the engine's older builder, which builds here, has no way to keep them out of the image."
const CPU_PERIOD_US = 100_000

export interface DockerBuildOptions {
  engine: DockerEngine
  nodeId: string
  system: System
  /** Whether the engine has BuildKit, and the bounds that it can be given. */
  builder: () => Promise<{ buildkit: boolean; bounds: BuildBounds }>
}

export function createDockerBuild(options: DockerBuildOptions): Pick<Runtime, 'buildImage'> {
  const { engine, nodeId } = options

  async function buildImage(
    build: BuildSpec,
    onLine: (line: BuildLine) => void,
    signal: AbortSignal,
  ): Promise<{ image_id: string }> {
    let contextError: unknown
    build.context.once('error', (error) => (contextError ??= error))
    const progress = createBuildProgress(boundOutput(onLine))
    let release = async (): Promise<void> => {}
    let closeSession = (): void => {}
    try {
      const { buildkit, bounds } = await options.builder()
      const secrets = build.secrets ?? {}
      const hasSecrets = Object.keys(secrets).length > 0
      if (hasSecrets && !buildkit) throw new BuildFailed(NEEDS_BUILDKIT)
      if (buildkit) {
        const claim = await bounds.claim({ memory_bytes: build.memory_bytes, cpu_millis: build.cpu_millis })
        release = claim.release
        if (!claim.bounded) onLine({ stream: 'status', line: UNBOUNDED })
      }
      const request = buildRequest(build, nodeId, buildkit)
      if (hasSecrets) {
        const session = await openBuildSession({ engine, system: options.system, secrets, signal })
        closeSession = session.close
        request.query['session'] = session.id
      }
      const answer = await engine.open('build image', request, { signal, timeoutMs: null })
      await readProgress(answer, progress, options.system, signal)
    } catch (error) {
      signal.throwIfAborted()
      throw contextError ?? refusedBuild(error) ?? translateEngineError(error, 'build image')
    } finally {
      build.context.destroy()
      progress.finish()
      closeSession()
      await release()
    }
    return concludeBuild(progress, signal)
  }

  return { buildImage }
}

/** A Dockerfile that the builder cannot even read is refused with a status of its own, before any progress. */
function refusedBuild(error: unknown): BuildFailed | undefined {
  if (!isAppError(error) || error.code === 'RUNTIME_UNAVAILABLE' || error.code === 'DISK_FULL')
    return undefined
  const answer = error.cause instanceof Error ? error.cause.cause : undefined
  return engineStatusOf(answer) === undefined
    ? undefined
    : new BuildFailed(`The build failed: ${engineMessageOf(answer)}`)
}

function concludeBuild(
  progress: ReturnType<typeof createBuildProgress>,
  signal: AbortSignal,
): { image_id: string } {
  signal.throwIfAborted()
  const failure = progress.failure()
  const imageId = progress.imageId()
  if (failure !== undefined && !isEngineStopping(failure)) throw new BuildFailed(failure)
  if (imageId === undefined || failure !== undefined) {
    throw new AppError('RUNTIME_UNAVAILABLE', {
      cause: new Error(`docker: build image: ${failure ?? 'no image'}`),
    })
  }
  return { image_id: imageId }
}

/** What a build says when the engine stops under it: nobody else than us cancels builds. */
function isEngineStopping(failure: string): boolean {
  return /context canceled|graceful_stop|transport is closing|daemon is shutting down/i.test(failure)
}

function buildRequest(build: BuildSpec, nodeId: string, buildkit: boolean): StreamRequest {
  return {
    method: 'POST',
    path: '/build',
    body: build.context,
    query: {
      t: build.tag,
      dockerfile: build.dockerfile,
      ...(build.target === undefined ? {} : { target: build.target }),
      buildargs: JSON.stringify(build.build_args),
      labels: JSON.stringify({ ...build.labels, [LABELS.node]: nodeId }),
      ...(buildkit ? { version: 2 } : classicBounds(build)),
    },
  }
}

function classicBounds(build: BuildSpec): StreamRequest['query'] {
  return {
    version: 1,
    // A failed step's container would stay otherwise.
    rm: true,
    forcerm: true,
    memory: build.memory_bytes,
    memswap: build.memory_bytes,
    cpuperiod: CPU_PERIOD_US,
    cpuquota: Math.round((build.cpu_millis * CPU_PERIOD_US) / 1000),
  }
}

async function readProgress(
  answer: Readable,
  progress: ReturnType<typeof createBuildProgress>,
  system: System,
  signal: AbortSignal,
): Promise<void> {
  let windowStart = system.monotonic()
  let windowBytes = 0
  try {
    for await (const message of readJsonLines(answer, (count) => (windowBytes += count))) {
      progress.push(message)
      const elapsed = system.monotonic() - windowStart
      if (elapsed >= 1000) {
        windowStart += elapsed
        windowBytes = 0
      } else if (windowBytes > MAX_BYTES_PER_SECOND) {
        await system.sleep(1000 - elapsed, signal)
      }
    }
  } finally {
    answer.destroy()
  }
}

/** Passes lines on until they are too many; the builder's own words always pass. */
function boundOutput(onLine: (line: BuildLine) => void): (line: BuildLine) => void {
  let left = MAX_OUTPUT_BYTES
  return (line) => {
    if (line.stream === 'status') return onLine(line)
    if (left < 0) return
    left -= line.line.length + LINE_OVERHEAD_BYTES
    onLine(left < 0 ? { stream: 'status', line: '(more output is not shown; the build goes on)' } : line)
  }
}
