import { isAppError } from '../../lib/errors.ts'
import type { System } from '../../lib/system.ts'
import type { Database } from '../../store/database.ts'
import type { RecordAudit } from '../audit/audit.ts'
import { BERTH_ITSELF } from '../identity/context.ts'
import type { DomainCheck } from './domain-check.ts'
import type { DomainStore } from './domain-store.ts'

export interface DomainUpkeepDeps {
  database: Database
  store: DomainStore
  system: System
  recordAudit: RecordAudit
  check: DomainCheck
  claimsChanged: () => void
}

/** Checks at once. */
const CONCURRENCY = 8
const BATCH = 64
/** Of one project in a batch: the others wait for no more than one round of its checks. */
const OF_ONE = 8
/** Until a check is tried again that came to nothing. */
const PAUSE_MS = 60_000

/** The body of a worker: removes claims that were not proven in time, and checks what is due. */
export function createDomainUpkeep(deps: DomainUpkeepDeps) {
  const { database, store, system } = deps

  const expire = (): void => {
    database.transact(() => {
      const expired = store.listExpired(system.nowIso(), BATCH)
      for (const domain of expired) {
        store.remove(domain.id)
        deps.recordAudit(BERTH_ITSELF, {
          action: 'deleteDomain',
          resource_kind: 'domain',
          resource_id: domain.id,
          project_id: domain.project_id,
          details: { hostname: domain.hostname, expired: true },
        })
      }
      if (expired.length > 0) database.afterCommit(deps.claimsChanged)
    })
  }

  /** Behind the others: one that comes to nothing must not be the first of every batch. */
  const postpone = (id: string): void => {
    database.transact(() => {
      const domain = store.find(id)
      const jitter = system.randomBytes(2).readUInt16BE(0) / 0xffff
      const next = new Date(system.now() + PAUSE_MS * (0.75 + jitter / 2)).toISOString()
      if (domain) store.update({ ...domain, next_check_at: next })
    })
  }

  const checkNext = async (due: string[], signal: AbortSignal, failures: unknown[]): Promise<void> => {
    for (let id = due.shift(); id !== undefined && !signal.aborted; id = due.shift()) {
      const domain = store.find(id)
      if (!domain) continue
      try {
        await deps.check(BERTH_ITSELF, domain, { audit: 'changes' })
      } catch (error) {
        signal.throwIfAborted()
        postpone(id)
        if (!isAppError(error, 'NOT_FOUND') && !isAppError(error, 'BUSY')) failures.push(error)
      }
    }
  }

  return async (signal: AbortSignal): Promise<void> => {
    expire()
    const due = store.listDue(system.nowIso(), BATCH, OF_ONE)
    const failures: unknown[] = []
    const loops = Array.from({ length: Math.min(CONCURRENCY, due.length) }, () =>
      checkNext(due, signal, failures),
    )
    await Promise.all(loops)
    // The others were checked nevertheless.
    if (failures.length > 0) throw failures[0]
  }
}
