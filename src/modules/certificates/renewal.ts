import type { RenewalInfo } from './acme-server.ts'
import { LONGEST_INFO_PAUSE_MS, LONGEST_RETRY_MS } from './certificate-schema.ts'

const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS

/** Pauses after attempts that did not work. Let's Encrypt bears five failed checks of a name in an hour. */
const PAUSES_MS = [...[1, 5, 15, 60, 4 * 60, 12 * 60].map((minutes) => minutes * MINUTE_MS), LONGEST_RETRY_MS]
/** When the authority is away, nothing is held against anyone, and it may be back soon. */
const LONGEST_OUTAGE_PAUSE_MS = HOUR_MS

/** Renewal at two thirds of the lifetime, or up to a twentieth of it earlier, so that a thousand certificates do not renew in one minute. */
export function renewalTime(notBeforeMs: number, notAfterMs: number, jitter: number): number {
  const lifetime = notAfterMs - notBeforeMs
  return Math.round(notBeforeMs + lifetime * (2 / 3 - jitter / 20))
}

/**
 * A moment in the window that the authority suggests (RFC 9773, section 4.2), or now when it has passed; never in the last twentieth of the
 * lifetime, whatever the authority says.
 */
export function suggestedTime(
  info: RenewalInfo,
  { notBeforeMs, notAfterMs }: { notBeforeMs: number; notAfterMs: number },
  nowMs: number,
  jitter: number,
): number {
  const suggested = Math.round(info.start_ms + (info.end_ms - info.start_ms) * jitter)
  const latest = notAfterMs - Math.round((notAfterMs - notBeforeMs) / 20)
  return Math.max(nowMs, Math.min(suggested, latest))
}

/** How long until the authority is asked for a window again. */
export function infoPause(info: RenewalInfo): number {
  return Math.min(LONGEST_INFO_PAUSE_MS, Math.max(HOUR_MS, info.retry_after_ms ?? 6 * HOUR_MS))
}

/** The pause after the `failures`th attempt in a row that did not work; never shorter than the authority asks for. */
export function retryPause(
  failures: number,
  options: { outage: boolean; retryAfterMs: number | undefined; jitter: number },
): number {
  const listed = PAUSES_MS[Math.min(failures, PAUSES_MS.length) - 1] ?? MINUTE_MS
  const pause = options.outage ? Math.min(listed, LONGEST_OUTAGE_PAUSE_MS) : listed
  return Math.max(options.retryAfterMs ?? 0, Math.round(pause * (0.9 + options.jitter / 5)))
}
