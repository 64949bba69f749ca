import { type DueWork, workOff } from '../../lib/due-work.ts'
import { isAppError } from '../../lib/errors.ts'
import type { System } from '../../lib/system.ts'
import type { Database } from '../../store/database.ts'
import type { RecordAudit } from '../audit/audit.ts'
import { BERTH_ITSELF } from '../identity/context.ts'
import type { DomainCheck } from './domain-check.ts'
import type { DomainRow } from './domain-schema.ts'
import type { DomainStore } from './domain-store.ts'

export interface DomainUpkeepDeps {
  database: Database
  store: DomainStore
  system: System
  recordAudit: RecordAudit
  check: DomainCheck
  claimsChanged: () => void
  /** Told of a check that did not end as checks do; the others go on. */
  onError: (error: unknown) => void
}

const BATCH = 64
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

  const check = async (domain: DomainRow, signal: AbortSignal): Promise<void> => {
    try {
      await deps.check(BERTH_ITSELF, domain, { audit: 'changes' })
    } catch (error) {
      signal.throwIfAborted()
      postpone(domain.id)
      if (!isAppError(error, 'NOT_FOUND') && !isAppError(error, 'BUSY')) deps.onError(error)
    }
  }

  return async (signal: AbortSignal): Promise<void> => {
    const due = (): DueWork[] =>
      store.listDue(system.nowIso(), BATCH).map((domain) => ({
        id: domain.id,
        owner: domain.project_id,
        act: () => check(domain, signal),
      }))
    expire()
    await workOff({ system, due, look: async () => expire() }, signal)
  }
}
