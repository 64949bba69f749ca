import { setTimeout as delay } from 'node:timers/promises'
import { createIdSource, createSystem, type System } from '../../src/lib/system.ts'

/** A clock that runs `speed` times as fast as the real one: what waits for minutes is over in seconds. */
export function createHurriedSystem(
  speed: number,
): System & { skip(ms: number): void; setBack(ms: number): void } {
  const real = createSystem()
  const begin = real.now()
  const origin = real.monotonic()
  let skipped = 0
  let back = 0
  const monotonic = (): number => (real.monotonic() - origin) * speed + skipped
  const now = (): number => Math.floor(begin + monotonic() - back)
  return {
    ...real,
    now,
    nowIso: () => new Date(now()).toISOString(),
    newId: createIdSource(now, real.randomBytes),
    sleep: async (ms, signal) => {
      await delay(ms / speed, undefined, signal ? { signal } : {})
    },
    later: (ms, run) => real.later(ms / speed, run),
    monotonic,
    /** Lets this much time be gone; timers that run notice nothing of it. */
    skip: (ms) => void (skipped += ms),
    /** As when a clock that was ahead is put right. */
    setBack: (ms) => void (back += ms),
  }
}
