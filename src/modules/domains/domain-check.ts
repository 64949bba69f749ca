import { AppError } from '../../lib/errors.ts'
import { createSlots } from '../../lib/slots.ts'
import type { System } from '../../lib/system.ts'
import type { Database } from '../../store/database.ts'
import type { AuditContext, RecordAudit } from '../audit/audit.ts'
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

/** Checks at once, and of one project; each waits on the network, for up to a minute. */
const SLOTS = { slots: 16, waiting: 256, waitMs: 60_000, ofOne: { slots: 8, waiting: 64 } }

/**
 * Checks one claim and records what came of it. Whoever asks while it is being checked shares the check; it goes on when they leave.
 * Throws NOT_FOUND when the claim was removed meanwhile, and BUSY.
 */
export function createDomainCheck(deps: DomainCheckDeps): DomainCheck {
  const { database, store, system, signal } = deps
  const slots = createSlots(system, SLOTS)
  const running = new Map<string, Promise<CheckOutcome>>()

  const run = async (domain: DomainRow): Promise<CheckOutcome> => {
    const release = await slots.acquire(signal, domain.project_id)
    try {
      return await (isWildcard(domain.hostname) ? deps.checkDns : deps.checkHttp)(domain, signal)
    } finally {
      release()
      running.delete(domain.id)
    }
  }
  const check = (domain: DomainRow): Promise<CheckOutcome> => {
    const shared = running.get(domain.id) ?? run(domain)
    running.set(domain.id, shared)
    return shared
  }

  const record = (
    context: AuditContext,
    id: string,
    found: CheckOutcome,
    audit: 'always' | 'changes',
  ): DomainRow =>
    database.transact(() => {
      const domain = store.find(id)
      if (!domain) throw new AppError('NOT_FOUND')
      const holder = found.ok ? store.findVerified(domain.hostname) : undefined
      const outcome = holder === undefined || holder.id === id ? found : TAKEN
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
