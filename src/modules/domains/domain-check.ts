import { orAborted } from '../../lib/abortable.ts'
import { AppError } from '../../lib/errors.ts'
import { createSlots } from '../../lib/slots.ts'
import type { System } from '../../lib/system.ts'
import type { Database } from '../../store/database.ts'
import type { AuditContext, RecordAudit } from '../audit/audit.ts'
import { challengeRecord } from './dns-check.ts'
import { findCover } from './domain-cover.ts'
import { type CheckOutcome, type DomainRow, isWildcard } from './domain-schema.ts'
import { type DomainRules, settleCheck } from './domain-state.ts'
import type { DomainStore } from './domain-store.ts'

/** Looks whether a claim is proven at this moment. */
export type CheckClaim = (
  claim: Pick<DomainRow, 'hostname' | 'token' | 'service_id'>,
  signal: AbortSignal,
) => Promise<CheckOutcome>

export interface DomainCheckDeps {
  database: Database
  store: DomainStore
  system: System
  recordAudit: RecordAudit
  rules: DomainRules
  checkHttp: CheckClaim
  checkDns: CheckClaim
  /** Ends the checks that are under way when the daemon stops. */
  signal: AbortSignal
  /** Called after a commit that made a domain routed or not routed any more. */
  routingChanged: () => void
}

export type DomainCheck = (
  context: AuditContext,
  domain: DomainRow,
  options: { audit: 'always' | 'changes' },
) => Promise<DomainRow>

/** Longer than any check takes that works: a hook makes and removes a record in a minute each, and DNS has two to show it. */
const LIMIT_MS = 5 * 60_000
/** Checks at once, and of one project; each waits on the network: for up to a minute, or four where a hook makes a record. */
const SLOTS = { slots: 16, waiting: 256, waitMs: 60_000, ofOne: { slots: 8, waiting: 64 } }

interface Found {
  outcome: CheckOutcome
  by: 'http' | 'dns'
}

/**
 * Checks one claim and records what came of it. Whoever asks while it is being checked shares the check; it goes on when they leave.
 * Throws NOT_FOUND when the claim was removed meanwhile, BUSY, and an Error when the check does not end.
 */
export function createDomainCheck(deps: DomainCheckDeps): DomainCheck {
  const { database, store, system, signal } = deps
  const slots = createSlots(system, SLOTS)
  const running = new Map<string, Promise<Found>>()

  /** Ends in time whatever the check does: one that hangs keeps neither its slot nor those who wait for it. */
  const ask = async (domain: DomainRow): Promise<Found> => {
    const late = new AbortController()
    const cancelTimer = system.later(LIMIT_MS, () =>
      late.abort(new Error(`the check of ${domain.hostname} did not end in ${LIMIT_MS / 60_000} minutes`)),
    )
    const ending = AbortSignal.any([signal, late.signal])
    const by = isWildcard(domain.hostname) || findCover(store, domain) ? 'dns' : 'http'
    try {
      const asked = (by === 'dns' ? deps.checkDns : deps.checkHttp)(domain, ending)
      return { outcome: await orAborted(asked, ending), by }
    } finally {
      cancelTimer()
    }
  }
  const run = async (domain: DomainRow): Promise<Found> => {
    try {
      const release = await slots.acquire(signal, domain.project_id)
      return await ask(domain).finally(release)
    } finally {
      running.delete(domain.id)
    }
  }
  const check = (domain: DomainRow): Promise<Found> => {
    const known = running.get(domain.id)
    if (known) return known
    const begun = run(domain)
    running.set(domain.id, begun)
    return begun
  }

  /** What a check comes to beside what others have proven. Inside a transaction. */
  const weigh = (domain: DomainRow, { outcome, by }: Found): CheckOutcome => {
    const holder = outcome.ok ? store.findVerified(domain.hostname) : undefined
    if (holder !== undefined && holder.id !== domain.id) return TAKEN
    const cover = findCover(store, domain)
    if (cover === undefined || (outcome.ok && by === 'dns')) return outcome
    return covered(domain, cover, outcome)
  }

  const record = (context: AuditContext, id: string, found: Found, audit: 'always' | 'changes'): DomainRow =>
    database.transact(() => {
      const domain = store.find(id)
      if (!domain) throw new AppError('NOT_FOUND')
      const outcome = weigh(domain, found)
      const jitter = system.randomBytes(2).readUInt16BE(0) / 0xffff
      const next = settleCheck(domain, outcome, system.now(), jitter, deps.rules)
      store.update(next)
      if (audit === 'always' || next.status !== domain.status)
        deps.recordAudit(context, {
          action: 'verifyDomain',
          ...(next.status === 'verified' ? {} : { outcome: 'failed' as const }),
          resource_kind: 'domain',
          resource_id: id,
          project_id: domain.project_id,
          details: { hostname: domain.hostname, status: next.status, reason_code: next.reason_code },
        })
      if ((next.status === 'verified') !== (domain.status === 'verified'))
        database.afterCommit(deps.routingChanged)
      return store.find(id) ?? next
    })

  return async (context, domain, { audit }) => record(context, domain.id, await check(domain), audit)
}

const TAKEN: CheckOutcome = {
  ok: false,
  code: 'taken',
  reason: 'Another service has proven this hostname already. It has to be removed there first.',
}

/** Outcomes that tell how the name is to be proven instead. */
function covered(domain: DomainRow, cover: DomainRow, outcome: CheckOutcome): CheckOutcome {
  const isMissing = outcome.ok || outcome.code === 'no_txt_record' || outcome.code === 'wrong_txt_record'
  if (!isMissing) return outcome
  return {
    ok: false,
    code: 'taken',
    reason: `Another project has proven ${cover.hostname}, which covers this hostname. Only its DNS can give it to another: add a TXT record ${challengeRecord(domain.hostname)} with the value ${domain.token}, and leave it there.`,
  }
}
