import type { System } from '../../lib/system.ts'
import type { IngressLimits } from '../contract/limits.ts'
import type { Proxy } from './proxy.ts'

/** How long a worker that ends may take. */
export interface DrainBounds {
  requestsMs: number
  upgradedMs: number
}

const LOOK_MS = 50

/**
 * Ends the work of a worker: no new connections, running requests and upgraded connections end or reach their bound. Idle
 * connections are kept open a little, because a client may be sending its next request at this moment.
 */
export function createDrain(system: System, proxy: Proxy, limits: IngressLimits): Drain {
  let bounds: DrainBounds | undefined
  let startedAt = 0

  const run = async (): Promise<void> => {
    proxy.beginDrain()
    for (;;) {
      const elapsed = system.monotonic() - startedAt
      if (elapsed >= limits.drain_idle_ms) proxy.closeIdle()
      if (elapsed >= (bounds?.requestsMs ?? 0)) proxy.closeRequests()
      if (elapsed >= (bounds?.upgradedMs ?? 0)) proxy.closeUpgraded()
      if (proxy.openConnections() === 0) return
      await system.sleep(LOOK_MS)
    }
  }

  let ended: Promise<void> | undefined
  return (asked) => {
    if (bounds === undefined) {
      bounds = asked
      startedAt = system.monotonic()
    } else {
      // A second order can only shorten the first.
      const elapsed = system.monotonic() - startedAt
      bounds = {
        requestsMs: Math.min(bounds.requestsMs, elapsed + asked.requestsMs),
        upgradedMs: Math.min(bounds.upgradedMs, elapsed + asked.upgradedMs),
      }
    }
    ended ??= run()
    return ended
  }
}

/** Begins to drain, or tightens the bounds of a drain that has begun; resolves when nothing is open any more. */
export type Drain = (bounds: DrainBounds) => Promise<void>
