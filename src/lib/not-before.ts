/** A clock is put right by so much without anything being wrong. */
export const CLOCK_SLACK_MS = 60_000

/**
 * The latest instant until which something can have to wait, when nothing ever waits longer than `longestMs`. What is written down as later was so while
 * the clock was ahead, and would otherwise wait until that time comes again.
 */
export function latestStart(now: string, longestMs: number): string {
  return new Date(Date.parse(now) + longestMs + CLOCK_SLACK_MS).toISOString()
}

/** Whether something is due that is to wait until `notBefore`, and never longer than `longestMs`; null: it need not wait. */
export function isDue(notBefore: string | null, now: string, longestMs: number): boolean {
  return notBefore === null || notBefore <= now || notBefore > latestStart(now, longestMs)
}
