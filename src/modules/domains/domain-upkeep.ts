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

/** Checks at once; each waits on the network for up to half a minute. */
const CONCURRENCY = 8
const BATCH = 64

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

  const checkNext = async (due: string[], signal: AbortSignal): Promise<void> => {
    for (let id = due.shift(); id !== undefined && !signal.aborted; id = due.shift()) {
      const domain = store.find(id)
      if (!domain) continue
      try {
        await deps.check(BERTH_ITSELF, domain, { audit: 'changes' })
      } catch (error) {
        // One whose project has too many checks under way is due the next time, too.
        if (!isAppError(error, 'NOT_FOUND') && !isAppError(error, 'BUSY')) throw error
      }
    }
  }

  return async (signal: AbortSignal): Promise<void> => {
    expire()
    const due = store.listDue(system.nowIso(), BATCH).map(({ id }) => id)
    const loops = Array.from({ length: Math.min(CONCURRENCY, due.length) }, () => checkNext(due, signal))
    await Promise.all(loops)
  }
}
