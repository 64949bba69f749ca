import type { Config } from '../../config.ts'
import type { Log } from '../../lib/log.ts'
import type { Runtime } from '../../runtime/runtime.ts'

const DAY_SECONDS = 86_400

export interface BuildCacheLimitOptions {
  runtime: Pick<Runtime, 'pruneBuildCache'>
  config: Pick<Config, 'build_cache_max_bytes' | 'build_cache_max_days'>
  log: Log
}

/** One run holds the engine's build cache to its bounds. What a build that runs is using stays: the engine sees to that. */
export function createBuildCacheLimit({
  runtime,
  config,
  log,
}: BuildCacheLimitOptions): (signal: AbortSignal) => Promise<void> {
  const bounds = {
    max_bytes: config.build_cache_max_bytes,
    unused_for_seconds: config.build_cache_max_days * DAY_SECONDS,
  }
  return async (signal) => {
    const { reclaimed_bytes } = await runtime.pruneBuildCache(bounds, signal)
    if (reclaimed_bytes > 0) log.info({ reclaimed_bytes }, 'the build cache was brought within its bounds')
  }
}
