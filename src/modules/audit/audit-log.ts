import type { System } from '../../lib/system.ts'
import type { Database } from '../../store/database.ts'
import { GENESIS, hashEvent } from './audit-chain.ts'
import type { AuditContext, AuditEntry, RecordAudit } from './audit.ts'
import type { AuditRow, AuditStore } from './audit-store.ts'

/** The writing end of the log, and what wakes its readers. */
export interface AuditLog {
  record: RecordAudit
  /** Rises whenever someone's access may have changed. */
  accessRevision(): number
  /** Resolves after the next commit that added events, or when the signal aborts. */
  nextChange(signal: AbortSignal): Promise<void>
}

/** A change of one of these may take someone's access away. */
const ACCESS_KINDS = new Set(['user', 'session', 'api_token', 'role', 'member', 'project', 'service'])

export function createAuditLog(deps: { database: Database; system: System; store: AuditStore }): AuditLog {
  const { database, system, store } = deps
  let revision = 0
  let change = Promise.withResolvers<void>()

  const announce = (entry: AuditEntry): void => {
    if (entry.outcome === undefined && ACCESS_KINDS.has(entry.resource_kind ?? '')) revision += 1
    change.resolve()
    change = Promise.withResolvers<void>()
  }

  return {
    record: (context, entry) => {
      database.transact(() => {
        const head = store.head()
        const event = describe(context, entry, system)
        const row = { ...event, sequence: (head?.sequence ?? 0) + 1, previous_hash: head?.hash ?? GENESIS }
        store.append({ ...row, hash: hashEvent(row) })
      })
      database.afterCommit(() => announce(entry))
    },
    accessRevision: () => revision,
    nextChange: (signal) => {
      const aborted = Promise.withResolvers<void>()
      const onAbort = (): void => aborted.resolve()
      signal.addEventListener('abort', onAbort, { once: true })
      if (signal.aborted) onAbort()
      return Promise.race([change.promise, aborted.promise]).finally(() =>
        signal.removeEventListener('abort', onAbort),
      )
    },
  }
}

const MAX_DETAILS_LENGTH = 4096

function describe(
  { actor, request_id, client_address }: AuditContext,
  entry: AuditEntry,
  system: System,
): Omit<AuditRow, 'sequence' | 'hash' | 'previous_hash'> {
  return {
    id: system.newId(),
    at: system.nowIso(),
    actor_kind: actor.via,
    actor_id: actor.user_id,
    actor_name: actor.name,
    token_id: actor.token_id,
    action: entry.action,
    outcome: entry.outcome ?? 'done',
    resource_kind: entry.resource_kind ?? null,
    resource_id: entry.resource_id ?? null,
    project_id: entry.project_id ?? null,
    client_address,
    request_id,
    details: boundedJson(entry.details ?? {}),
  }
}

function boundedJson(details: object): string {
  const text = JSON.stringify(details)
  return text.length <= MAX_DETAILS_LENGTH
    ? text
    : JSON.stringify({ omitted: 'the details were too long to keep' })
}
