import type { Readable } from 'node:stream'
import { type Static, type TObject, type TObjectOptions, type TProperties, type TSchema, Type } from 'typebox'
import { ERROR_CATALOGUE, type ErrorCode } from '../lib/errors.ts'

/** An object that refuses fields it does not know: what every body, query and path of the API is. */
export function strictObject<Properties extends TProperties>(
  properties: Properties,
  options: TObjectOptions = {},
): TObject<Properties> {
  return Type.Object(properties, { ...options, additionalProperties: false })
}

/**
 * A value or null: as a list of types where that is possible, which validators and serialisers read without trying branches and
 * which is reported as one problem.
 */
export function nullable<Schema extends TSchema>(schema: Schema) {
  const { type } = schema as { type?: unknown }
  if (typeof type !== 'string') return Type.Unsafe<Static<Schema> | null>(Type.Union([schema, Type.Null()]))
  return Type.Unsafe<Static<Schema> | null>({ ...schema, type: [type, 'null'] })
}

/** Ids of examples; they belong to nothing. */
export const EXAMPLE_ID = '0192f0c1-7a00-7000-8000-000000000001'

/** An id in an answer: UUIDv7 text. */
export const Id = Type.String({ format: 'uuid', description: 'UUIDv7' })

/** RFC 3339 UTC with milliseconds. */
export const Instant = Type.String({ format: 'date-time', description: 'RFC 3339 UTC with milliseconds' })

/** An id in a path. Any short text is let through, because what is no id is simply not found. */
export const IdInPath = Type.String({ minLength: 1, maxLength: 64 })

/** `{id}` in a path. */
export const IdParams = strictObject({ id: IdInPath })

/** `?limit=&cursor=` of every list; spread `ListQuery.properties` to add filters. */
export const ListQuery = strictObject({
  limit: Type.Optional(
    Type.Integer({ minimum: 1, maximum: 1000, default: 200, description: 'Most items on a page' }),
  ),
  cursor: Type.Optional(
    Type.String({
      minLength: 1,
      maxLength: 512,
      description: 'Where to go on, from the Link header of the page before',
    }),
  ),
})
export type ListQuery = Static<typeof ListQuery>

/** A body that is streamed, of whatever media type the route declares. */
export const StreamedText = Type.Unsafe<Readable | string>({ type: 'string' })

/** What a route of server-sent events answers. */
export const EventStreamAnswer = { content: { 'text/event-stream': { schema: StreamedText } } }

/** What every failure looks like. */
export const ErrorBody = Type.Object(
  {
    error: Type.Enum(Object.keys(ERROR_CATALOGUE) as ErrorCode[], { description: 'A stable code' }),
    message: Type.String({ description: 'For people' }),
    details: Type.Optional(
      Type.Array(Type.Object({ field: Type.Optional(Type.String()), message: Type.String() })),
    ),
    permission: Type.Optional(Type.String({ description: 'The permission that is missing' })),
    request_id: Type.String({ description: 'Also in the X-Request-Id header and in the log' }),
  },
  { title: 'Error', description: 'A failure' },
)
