import type { System } from '../../lib/system.ts'
import type { Database } from '../../store/database.ts'
import type { Denial } from '../identity/authorize.ts'
import { GENESIS, hashEvent } from './audit-chain.ts'
import type { AuditContext, AuditEntry, RecordAudit } from './audit.ts'
import { type AuditRow, createAuditStore } from './audit-store.ts'
import { createDenialRecorder } from './denial-recorder.ts'

export interface AuditDeps {
  database: Database
  system: System
}

export interface AuditOperations {
  record: RecordAudit
  /** Keeps a refusal; many of a kind become one event with a count. */
  recordDenial(denial: Denial): void
  /** Rises whenever someone's access may have changed. */
  accessRevision(): number
  /** Calls `listener` after each commit that added events. The result stops it. */
  subscribe(listener: () => void): () => void
  /** Records what is still only counted; before the database closes. */
  flush(): void
}

/** A change of one of these may take someone's access away. */
const ACCESS_KINDS = new Set(['user', 'session', 'api_token', 'role', 'member', 'project', 'service'])

const MAX_DETAILS_LENGTH = 4096

/** The audit log: who did what, and who was refused, each event chained to the one before. */
export function createAudit({ database, system }: AuditDeps): AuditOperations {
  const store = createAuditStore(database)
  const listeners = new Set<() => void>()
  let revision = 0

  const announce = (entry: AuditEntry): void => {
    if (entry.outcome === undefined && ACCESS_KINDS.has(entry.resource_kind ?? '')) revision += 1
    for (const listener of listeners) listener()
  }

  const record: RecordAudit = (context, entry) => {
    database.transact(() => {
      const head = store.head()
      const event = describe(context, entry, system)
      const row = { ...event, sequence: (head?.sequence ?? 0) + 1, previous_hash: head?.hash ?? GENESIS }
      store.append({ ...row, hash: hashEvent(row) })
    })
    database.afterCommit(() => announce(entry))
  }
  const denials = createDenialRecorder(system, record)

  return {
    record,
    recordDenial: (denial) => denials.record(denial),
    accessRevision: () => revision,
    subscribe: (listener) => {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    flush: () => denials.flush(),
  }
}

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
