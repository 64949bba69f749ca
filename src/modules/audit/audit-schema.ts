import { type Static, Type } from 'typebox'
import { Id, Instant, ListQuery, nullable, strictObject } from '../../http/schema.ts'

const Hash = Type.String({
  pattern: '^[0-9a-f]{64}$',
  description: 'SHA-256, hexadecimal',
  examples: ['9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08'],
})

export const AuditEvent = Type.Object(
  {
    sequence: Type.Integer(),
    id: Id,
    at: Instant,
    actor_kind: Type.Enum(['admin_token', 'session', 'cookie', 'api_token', 'system', 'unknown']),
    actor_id: nullable(Id),
    actor_name: Type.String(),
    token_id: nullable(Id),
    action: Type.String({ description: 'An operationId' }),
    outcome: Type.Enum(['done', 'denied', 'failed']),
    resource_kind: nullable(Type.String()),
    resource_id: nullable(Type.String()),
    project_id: nullable(Id),
    client_address: nullable(Type.String()),
    request_id: nullable(Type.String()),
    details: Type.Record(Type.String(), Type.Unknown()),
    previous_hash: Hash,
    hash: Hash,
  },
  { title: 'AuditEvent' },
)
export type AuditEvent = Static<typeof AuditEvent>

const Text = Type.String({ minLength: 1, maxLength: 100 })
const filters = {
  actor: Type.Optional(Type.String({ ...Text, description: "The actor's id or name" })),
  action: Type.Optional(Type.String({ ...Text, description: 'An operationId' })),
  resource: Type.Optional(Type.String({ ...Text, description: "The resource's kind or id" })),
  project_id: Type.Optional(Text),
  since: Type.Optional(Type.String({ format: 'date-time', description: 'Inclusive' })),
  until: Type.Optional(Type.String({ format: 'date-time', description: 'Inclusive' })),
}
export const AuditQuery = strictObject({ ...ListQuery.properties, ...filters })
export const AuditFilterQuery = strictObject(filters)
export type AuditFilterQuery = Static<typeof AuditFilterQuery>

/** The last line of an export. */
export interface ExportTrailer {
  count: number
  head_hash: string
  chain_ok: boolean
}

export const Verification = Type.Object(
  {
    chain_ok: Type.Boolean(),
    events: Type.Integer({ description: 'How many were looked at' }),
    head_sequence: Type.Integer(),
    head_hash: Hash,
    broken_at: nullable(Type.Integer({ description: 'The first sequence number that does not hold' })),
    reason: nullable(Type.String()),
  },
  { title: 'AuditVerification' },
)
export type Verification = Static<typeof Verification>

export const EventsQuery = strictObject({
  since: Type.Optional(
    Type.String({ pattern: '^[0-9]{1,15}$', description: 'Go on behind this sequence number' }),
  ),
  project_id: Type.Optional(Text),
  format: Type.Optional(Type.Enum(['json', 'text'], { default: 'json' })),
})
