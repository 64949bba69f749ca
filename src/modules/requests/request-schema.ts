import { type Static, Type } from 'typebox'
import { Instant, ListQuery, nullable, strictObject } from '../../http/schema.ts'

export const RequestEntry = Type.Object(
  {
    id: Type.String({ description: 'Where it stands in the log; rises with every entry.' }),
    ts: Instant,
    request_id: Type.String({ description: 'The X-Request-Id that the application got.' }),
    method: Type.String(),
    hostname: Type.String(),
    path: Type.String({ description: 'Without its query, at most 512 characters.' }),
    status: Type.Integer({ description: '499: the client left before it was answered.' }),
    bytes: Type.Integer({ description: 'Of the body of the answer.' }),
    duration_ms: Type.Number({
      description: 'From the request until the end of the answer; of a WebSocket until it was open.',
    }),
    upstream_ms: nullable(
      Type.Number({ description: 'Until the application began to answer; null: it did not.' }),
    ),
    deployment_id: nullable(Type.String({ description: 'The release that answered; null: none was asked.' })),
    replica: nullable(Type.String({ description: 'The name of its container.' })),
    client_address: Type.String(),
  },
  { title: 'RequestEntry' },
)
export type RequestEntry = Static<typeof RequestEntry>

const filter = {
  deployment_id: Type.Optional(
    Type.String({ maxLength: 64, description: 'Only requests that this release answered' }),
  ),
}

export const RequestQuery = strictObject({
  ...ListQuery.properties,
  ...filter,
  since: Type.Optional(Type.String({ maxLength: 40, description: 'From this instant on (RFC 3339)' })),
  until: Type.Optional(Type.String({ maxLength: 40, description: 'Up to this instant (RFC 3339)' })),
  grep: Type.Optional(
    Type.String({ minLength: 1, maxLength: 200, description: 'Only entries with this text in them' }),
  ),
})
export type RequestQuery = Static<typeof RequestQuery>

export const RequestStreamQuery = strictObject({
  ...filter,
  tail: Type.Optional(
    Type.Integer({ minimum: 0, maximum: 1000, description: 'So many earlier entries first; default 20' }),
  ),
})
export type RequestStreamQuery = Static<typeof RequestStreamQuery>
