import { text } from 'node:stream/consumers'
import { AppError } from '../lib/errors.ts'
import type { DockerEngine, StreamRequest } from './docker-engine.ts'
import type { Runtime } from './runtime.ts'

/** The engine deletes files under its lock before it answers. */
const PRUNE_TIMEOUT_MS = 10 * 60_000

export interface DockerBuildCacheOptions {
  engine: DockerEngine
  /** Whether the engine builds with BuildKit. */
  usesBuildKit: () => Promise<boolean>
}

/** The cache of BuildKit. The classic builder's is the images that it leaves, which go as images do. */
export function createDockerBuildCache(options: DockerBuildCacheOptions): Pick<Runtime, 'pruneBuildCache'> {
  const { engine } = options

  const prune = async (query: StreamRequest['query'], signal: AbortSignal | undefined): Promise<number> => {
    const request = { method: 'POST', path: '/build/prune', query: { ...query, all: true } } as const
    const answer = await engine.open('prune build cache', request, { timeoutMs: PRUNE_TIMEOUT_MS, signal })
    try {
      return readReclaimed(await text(answer))
    } catch (error) {
      signal?.throwIfAborted()
      throw new AppError('RUNTIME_UNAVAILABLE', { cause: error })
    }
  }

  return {
    pruneBuildCache: async ({ max_bytes, unused_for_seconds }, signal) => {
      if (!(await options.usesBuildKit())) return { reclaimed_bytes: 0 }
      // Given together they would only remove what breaks both; a zero would mean everything.
      const filters = JSON.stringify({ until: [`${Math.max(1, unused_for_seconds)}s`] })
      const old = await prune({ filters }, signal)
      const surplus = await prune({ 'keep-storage': Math.max(1, max_bytes) }, signal)
      return { reclaimed_bytes: old + surplus }
    },
  }
}

function readReclaimed(answer: string): number {
  const { SpaceReclaimed: reclaimed } = JSON.parse(answer) as { SpaceReclaimed?: unknown }
  if (typeof reclaimed === 'number') return reclaimed
  throw new Error('docker: prune build cache: no answer')
}
