import type { Database } from '../../store/database.ts'

/** A row of audit_events, hashes as bytes. */
export interface AuditRow {
  sequence: number
  id: string
  at: string
  actor_kind: string
  actor_id: string | null
  actor_name: string
  token_id: string | null
  action: string
  outcome: 'done' | 'denied' | 'failed'
  resource_kind: string | null
  resource_id: string | null
  project_id: string | null
  client_address: string | null
  request_id: string | null
  /** JSON. */
  details: string
  previous_hash: Buffer
  hash: Buffer
}

/** What of the log someone may read: everything, or what belongs to some projects (or to any). */
export type AuditScope = 'everything' | { readonly projects: readonly string[] | 'all' }

/** What a reader wants; every given field must fit. */
export interface AuditFilter {
  scope: AuditScope
  /** The actor's id or name. */
  actor?: string
  action?: string
  /** The resource's kind or id. */
  resource?: string
  project_id?: string
  /** RFC 3339 UTC with milliseconds, inclusive. */
  since?: string
  until?: string
  outcome?: AuditRow['outcome']
}

export interface AuditStore {
  append(row: AuditRow): void
  head(): { sequence: number; hash: Buffer } | undefined
  /** The highest number ever given, also when its row is gone. */
  lastGiven(): number
  /** Newest first, of the numbers above `above` and up to `upTo`. */
  within(filter: AuditFilter, above: number, upTo: number, limit: number): AuditRow[]
  /** Oldest first, of the numbers above `above` and up to `upTo`. */
  withinUp(filter: AuditFilter, above: number, upTo: number, limit: number): AuditRow[]
}

const FILTER = `($actor IS NULL OR actor_id = $actor OR actor_name = $actor)
  AND ($action IS NULL OR action = $action)
  AND ($resource IS NULL OR resource_kind = $resource OR resource_id = $resource)
  AND ($project_id IS NULL OR project_id = $project_id)
  AND ($since IS NULL OR at >= $since) AND ($until IS NULL OR at <= $until)
  AND ($outcome IS NULL OR outcome = $outcome)
  AND ($everything = 1 OR (project_id IS NOT NULL
    AND ($projects IS NULL OR project_id IN (SELECT value FROM json_each($projects)))))`

const RANGE = `SELECT * FROM audit_events WHERE sequence > $above AND sequence <= $upTo AND ${FILTER}`

/** The audit log; triggers of the schema keep its rows from being changed or deleted. */
export function createAuditStore(database: Database): AuditStore {
  return {
    append: (row) => {
      database.run(
        `INSERT INTO audit_events (sequence, id, at, actor_kind, actor_id, actor_name, token_id, action, outcome, resource_kind,
           resource_id, project_id, client_address, request_id, details, previous_hash, hash)
         VALUES ($sequence, $id, $at, $actor_kind, $actor_id, $actor_name, $token_id, $action, $outcome, $resource_kind,
           $resource_id, $project_id, $client_address, $request_id, $details, $previous_hash, $hash)`,
        { ...row },
      )
    },
    head: () => database.get('SELECT sequence, hash FROM audit_events ORDER BY sequence DESC LIMIT 1'),
    lastGiven: () =>
      database.get<{ seq: number }>("SELECT seq FROM sqlite_sequence WHERE name = 'audit_events'")?.seq ?? 0,
    within: (filter, above, upTo, limit) =>
      database.all<AuditRow>(`${RANGE} ORDER BY sequence DESC LIMIT $limit`, {
        ...parametersOf(filter),
        above,
        upTo,
        limit,
      }),
    withinUp: (filter, above, upTo, limit) =>
      database.all<AuditRow>(`${RANGE} ORDER BY sequence LIMIT $limit`, {
        ...parametersOf(filter),
        above,
        upTo,
        limit,
      }),
  }
}

function parametersOf({ scope, ...filter }: AuditFilter) {
  return {
    actor: filter.actor ?? null,
    action: filter.action ?? null,
    resource: filter.resource ?? null,
    project_id: filter.project_id ?? null,
    since: filter.since ?? null,
    until: filter.until ?? null,
    outcome: filter.outcome ?? null,
    everything: scope === 'everything' ? 1 : 0,
    projects: scope === 'everything' || scope.projects === 'all' ? null : JSON.stringify(scope.projects),
  }
}
