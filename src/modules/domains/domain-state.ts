import { type CheckFailure, type CheckOutcome, type DomainRow, LONGEST_PAUSES_MS } from './domain-schema.ts'

/** How often domains are looked at and how long what is not right is borne; milliseconds. */
export interface DomainRules {
  /** A claim that is not proven is removed after this time. */
  claimMs: number
  /** A proven domain whose checks fail leaves routing after this time. */
  graceMs: number
}

const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS
const RECHECK_FAILING_MS = HOUR_MS
const FIRST_RETRY_MS = MINUTE_MS
/** However long the grace was slept through, so many checks must have failed. */
const FEWEST_FAILURES = 3

/** These say nothing about the domain: our way to ask was blocked. */
const INCONCLUSIVE: ReadonlySet<CheckFailure> = new Set(['dns_unavailable', 'hook_failed'])

/**
 * The row after a check: pure. `jitter` is from 0 to 1 and spreads the next checks, so that a thousand domains are not asked for in one
 * minute.
 */
export function settleCheck(
  domain: DomainRow,
  outcome: CheckOutcome,
  nowMs: number,
  jitter: number,
  rules: DomainRules,
): DomainRow {
  const now = iso(nowMs)
  const checked = { ...domain, checked_at: now, updated_at: now }
  if (outcome.ok) {
    const every = LONGEST_PAUSES_MS[domain.hostname.startsWith('*.') ? 'wildcard' : 'verified']
    return {
      ...checked,
      status: 'verified',
      reason_code: null,
      reason: null,
      failures: 0,
      failing_since: null,
      expires_at: null,
      verified_at: domain.status === 'verified' ? domain.verified_at : now,
      next_check_at: iso(nowMs + every * (0.75 + jitter / 2)),
    }
  }
  const failures = domain.failures + 1
  const failed = { ...checked, failures, reason_code: outcome.code, reason: outcome.reason }
  if (domain.status !== 'verified') {
    const pause = Math.min(LONGEST_PAUSES_MS.claim, FIRST_RETRY_MS * 2 ** Math.min(failures - 1, 20))
    return { ...failed, status: 'failed', next_check_at: iso(nowMs + pause * (0.75 + jitter / 2)) }
  }
  const conclusive = !INCONCLUSIVE.has(outcome.code)
  const since = domain.failing_since ?? (conclusive ? now : null)
  const over =
    conclusive && since !== null && failures >= FEWEST_FAILURES && nowMs - Date.parse(since) >= rules.graceMs
  return {
    ...failed,
    ...(over
      ? { status: 'failed', verified_at: null, failing_since: null, expires_at: iso(nowMs + rules.claimMs) }
      : { failing_since: since }),
    next_check_at: iso(nowMs + RECHECK_FAILING_MS * (0.75 + jitter / 2)),
  }
}

function iso(ms: number): string {
  return new Date(ms).toISOString()
}
