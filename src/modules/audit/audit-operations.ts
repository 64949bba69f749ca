import { AppError } from '../../lib/errors.ts'
import { type Page, pageOf, type PageRequest } from '../../lib/page.ts'
import type { System } from '../../lib/system.ts'
import type { Database } from '../../store/database.ts'
import type { Actor } from '../identity/actor.ts'
import { type Denial, projectsWith } from '../identity/authorize.ts'
import type { Context } from '../identity/context.ts'
import { createAuditLog } from './audit-log.ts'
import { createAuditReader } from './audit-reader.ts'
import type { RecordAudit } from './audit.ts'
import type { AuditEvent, AuditFilterQuery, ExportTrailer, Verification } from './audit-schema.ts'
import { type AuditFilter, type AuditRow, type AuditScope, createAuditStore } from './audit-store.ts'
import { createDenialRecorder } from './denial-recorder.ts'
import { createVerifier } from './verifier.ts'

export interface AuditDeps {
  database: Database
  system: System
  /** Told of refusals that could not be recorded; they are counted until they can. */
  onError: (error: unknown) => void
}

export interface AuditOperations {
  record: RecordAudit
  /** Keeps a refusal; many of a kind become one event with a count. Never throws. */
  recordDenial(denial: Denial): void
  /** Rises whenever someone's access may have changed. */
  accessRevision(): number
  /** Newest first, of what the caller may read. */
  listAuditEvents(context: Context, query: AuditFilterQuery, page: PageRequest): Promise<Page<AuditEvent>>
  /** Oldest first, in batches; the last one is the trailer. What is recorded after the call is not in it. */
  exportAuditEvents(
    context: Context,
    query: AuditFilterQuery,
    signal: AbortSignal,
  ): AsyncGenerator<(AuditEvent | ExportTrailer)[], void>
  /** Computes every hash anew. */
  verifyAuditEvents(): Promise<Verification>
  /** Changes behind `after` (without it: from now on) as they happen, of what the actor may see at that time. */
  followEvents(
    actor: () => Actor,
    options: FollowOptions,
    signal: AbortSignal,
  ): AsyncGenerator<AuditEvent[], void>
  /** Records what is still only counted; before the database closes. */
  flush(): void
}

export interface FollowOptions {
  after?: number
  project_id?: string
}

/** Changes come in bursts: what follows within this time goes out together. */
const GATHER_MS = 100

/** The audit log: who did what, and who was refused, each event chained to the one before. */
export function createAudit({ database, system, onError }: AuditDeps): AuditOperations {
  const store = createAuditStore(database)
  const log = createAuditLog({ database, system, store })
  const denials = createDenialRecorder(system, log.record, onError)
  const reader = createAuditReader(store, system)
  const verify = createVerifier(store, system)

  async function* exportBatches(filter: AuditFilter, signal: AbortSignal) {
    const { head_hash, head_sequence, chain_ok } = await verify()
    // A broken chain is exported to its end all the same.
    const end = chain_ok ? head_sequence : (store.head()?.sequence ?? 0)
    let count = 0
    for await (const rows of reader.upwards(filter, 0, end, signal)) {
      count += rows.length
      yield rows.map(toEvent)
    }
    yield [{ count, head_hash, chain_ok }]
  }

  async function* follow(actor: () => Actor, options: FollowOptions, signal: AbortSignal) {
    let after = options.after ?? store.head()?.sequence ?? 0
    while (!signal.aborted) {
      const changed = log.nextChange(signal)
      const head = store.head()?.sequence ?? 0
      const filter = {
        scope: scopeOf(actor(), 'projects.read'),
        outcome: 'done',
        ...projectOf(options),
      } as const
      for await (const rows of reader.upwards(filter, after, head, signal)) yield rows.map(toEvent)
      after = Math.max(after, head)
      await changed
      await system.sleep(GATHER_MS, signal).catch(() => {})
    }
  }

  return {
    record: log.record,
    recordDenial: (denial) => denials.record(denial),
    accessRevision: () => log.accessRevision(),
    listAuditEvents: async (context, query, { limit, after }) => {
      const rows = await reader.newest(filterOf(context, query), limit + 1, readSequence(after))
      const page = pageOf(rows, limit, (row) => String(row.sequence))
      return { ...page, items: page.items.map(toEvent) }
    },
    exportAuditEvents: (context, query, signal) => exportBatches(filterOf(context, query), signal),
    verifyAuditEvents: verify,
    followEvents: follow,
    flush: () => denials.flush(),
  }
}

function filterOf({ actor }: Context, query: AuditFilterQuery): AuditFilter {
  const { since, until, ...rest } = query
  return {
    ...rest,
    scope: scopeOf(actor, 'audit.read'),
    ...(since === undefined ? {} : { since: new Date(since).toISOString() }),
    ...(until === undefined ? {} : { until: new Date(until).toISOString() }),
  }
}

/** Everything for super-admins, else what belongs to the projects in which they have the permission. */
function scopeOf(actor: Actor, permission: 'audit.read' | 'projects.read'): AuditScope {
  return actor.is_super_admin ? 'everything' : { projects: projectsWith(actor, permission) }
}

function projectOf({ project_id }: FollowOptions): { project_id?: string } {
  return project_id === undefined ? {} : { project_id }
}

function readSequence(after: string | undefined): number | undefined {
  if (after === undefined) return undefined
  if (!/^\d{1,15}$/.test(after)) {
    throw new AppError('VALIDATION_ERROR', {
      details: [{ field: 'cursor', message: 'is not a cursor of this list' }],
    })
  }
  return Number(after)
}

function toEvent(row: AuditRow): AuditEvent {
  return {
    ...row,
    actor_kind: row.actor_kind as AuditEvent['actor_kind'],
    details: JSON.parse(row.details) as Record<string, unknown>,
    previous_hash: row.previous_hash.toString('hex'),
    hash: row.hash.toString('hex'),
  }
}
