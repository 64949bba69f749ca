import type { System } from '../lib/system.ts'
import type { FakeEngine } from './fake-engine.ts'
import type { Runtime } from './runtime.ts'

/** Each build leaves as much behind as its context has bytes. */
export function createFakeBuildCache(engine: FakeEngine, system: System): Pick<Runtime, 'pruneBuildCache'> {
  return {
    pruneBuildCache: async ({ max_bytes, unused_for_seconds }) => {
      const entries = [...engine.buildCache].toSorted(([, a], [, b]) => a.used_at - b.used_at)
      const oldest = system.now() - unused_for_seconds * 1000
      let kept = entries.reduce((sum, [, { size_bytes }]) => sum + size_bytes, 0)
      let reclaimed_bytes = 0
      for (const [key, { size_bytes, used_at }] of entries) {
        if (used_at > oldest && kept <= max_bytes) continue
        engine.buildCache.delete(key)
        kept -= size_bytes
        reclaimed_bytes += size_bytes
      }
      return { reclaimed_bytes }
    },
  }
}
