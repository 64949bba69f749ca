import { AppError } from '../lib/errors.ts'
import type { System } from '../lib/system.ts'

/** Counts the calls of each principal. */
export interface RateLimiter {
  /** Takes one call of the principal's budget. Throws RATE_LIMITED when it is spent. */
  take(principal: string): void
}

const MAX_PRINCIPALS = 20_000

/** A token bucket a principal: a minute's budget may be used at once, then calls are let through at the rate. */
export function createRateLimiter(system: System, perMinute: number): RateLimiter {
  const perMs = perMinute / 60_000
  /** The least recently seen first. */
  const buckets = new Map<string, { tokens: number; at: number }>()
  return {
    take: (principal) => {
      const now = system.monotonic()
      const before = buckets.get(principal) ?? { tokens: perMinute, at: now }
      const tokens = Math.min(perMinute, before.tokens + (now - before.at) * perMs)
      buckets.delete(principal)
      buckets.set(principal, { tokens: tokens < 1 ? tokens : tokens - 1, at: now })
      const oldest = buckets.keys().next().value
      if (buckets.size > MAX_PRINCIPALS && oldest !== undefined) buckets.delete(oldest)
      if (tokens < 1)
        throw new AppError('RATE_LIMITED', { retryAfterSeconds: Math.max(1, (1 - tokens) / perMs / 1000) })
    },
  }
}
