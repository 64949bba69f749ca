import { pino } from 'pino'
import { test } from 'tap'
import { createBuildCacheLimit } from '../../../src/modules/builds/build-cache-limit.ts'
import type { BuildCacheBounds } from '../../../src/runtime/runtime.ts'

test('a run asks for the bounds of the configuration, and says what it reclaimed', async (t) => {
  const asked: BuildCacheBounds[] = []
  const said: string[] = []
  let reclaimed_bytes = 0
  const run = createBuildCacheLimit({
    runtime: {
      pruneBuildCache: async (bounds) => {
        asked.push(bounds)
        return { reclaimed_bytes }
      },
    },
    config: { build_cache_max_bytes: 1000, build_cache_max_days: 2 },
    log: pino({}, { write: (line: string) => said.push(line) }),
  })
  await run(AbortSignal.timeout(60_000))
  t.same(asked, [{ max_bytes: 1000, unused_for_seconds: 172_800 }])
  t.same(said, [], 'nothing to say when there was nothing to do')
  reclaimed_bytes = 5
  await run(AbortSignal.timeout(60_000))
  t.match(JSON.parse(said.join('')), { level: 30, reclaimed_bytes: 5 })
})
