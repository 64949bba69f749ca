import { ERROR_CATALOGUE, type ErrorCode } from '../../lib/errors.ts'
import type { RouteAccess } from '../access.ts'
import type { KnownRoute } from '../route-index.ts'
import { exampleOf } from './example.ts'
import { hoistTitled, type JsonSchema, plainSchema } from './json-schema.ts'

export interface Media {
  schema?: JsonSchema
  example?: unknown
}

export interface Parameter {
  name: string
  in: 'path' | 'query' | 'header'
  required: boolean
  description?: string
  schema: JsonSchema
  example?: unknown
}

export interface AnswerObject {
  description: string
  headers?: Record<string, { $ref: string }>
  content?: Record<string, Media>
}

export interface Operation {
  operationId: string
  summary: string
  description?: string
  tags: string[]
  security: Record<string, string[]>[]
  parameters: (Parameter | { $ref: string })[]
  requestBody?: { required: boolean; content: Record<string, Media> }
  responses: Record<string, AnswerObject | { $ref: string }>
}

/** Describes a route. Throws when it lacks its operationId, summary or tags. */
export function describeOperation(route: KnownRoute, components: Record<string, JsonSchema>): Operation {
  const { schema, access } = route
  const { operationId, summary, tags } = schema
  if (operationId === undefined || summary === undefined || tags === undefined) {
    throw new Error(`${route.method} ${route.url} needs operationId, summary and tags`)
  }
  const description = [schema.description, describeAccess(access)].filter(Boolean).join('\n\n')
  const body = describeBody(route, components)
  return {
    operationId,
    summary,
    ...(description === '' ? {} : { description }),
    tags: tags.map((tag) => tag.toLowerCase()),
    security: 'public' in access ? [] : [{ bearer: [] }, { session_cookie: [] }],
    parameters: describeParameters(route, components),
    ...(body && { requestBody: body }),
    responses: { ...describeAnswers(route, components), ...describeFailures(route) },
  }
}

function describeAccess(access: RouteAccess): string {
  if ('public' in access) return 'Anybody may call it.'
  if ('registry' in access) return 'The registry asks for credentials in its own ways.'
  if ('install_admin' in access) return 'For the install admin token only.'
  const session = access.session ? ' An API token gets SESSION_REQUIRED.' : ''
  const recovery = access.recovery ? ' The install admin token may always call it.' : ''
  const who =
    'super_admin' in access
      ? 'For super-admins.'
      : 'signed_in' in access
        ? 'For everyone who is signed in.'
        : `Needs the ${describePermissions(access)}${access.of ? ` in the project of the ${access.of}` : ''}.`
  return who + session + recovery
}

function describePermissions({ permission, also }: Extract<RouteAccess, { permission: string }>): string {
  return also === undefined ? `permission \`${permission}\`` : `permissions \`${permission}\` and \`${also}\``
}

function describeParameters(
  route: KnownRoute,
  components: Record<string, JsonSchema>,
): Operation['parameters'] {
  const of = (group: unknown, place: 'path' | 'query'): Parameter[] => {
    const { properties = {}, required = [] } = group === undefined ? {} : plainSchema(group)
    return Object.entries(properties).map(([name, schema]) =>
      describeParameter(name, place, schema, required, components),
    )
  }
  const { method, access, schema } = route
  const headers = [
    ...(method === 'POST' && !('public' in access) && !schema.consumes ? ['IdempotencyKey'] : []),
    ...(route.entity_tag ? ['IfMatch'] : []),
    ...(isStream(route) ? ['LastEventId'] : []),
  ]
  return [
    ...of(schema.params, 'path'),
    ...of(schema.querystring, 'query'),
    ...headers.map((name) => ({ $ref: `#/components/parameters/${name}` })),
  ]
}

function describeParameter(
  name: string,
  place: 'path' | 'query',
  { description, ...schema }: JsonSchema,
  required: readonly string[],
  components: Record<string, JsonSchema>,
): Parameter {
  const parameter: Parameter = {
    name,
    in: place,
    required: place === 'path' || required.includes(name),
    schema: hoistTitled(schema, components),
  }
  if (description !== undefined) parameter.description = description
  if (place === 'path')
    parameter.example = exampleOf(isId(name) ? { type: 'string', format: 'uuid' } : schema, 'answer')
  return parameter
}

function isId(name: string): boolean {
  return name === 'id' || name.endsWith('_id')
}

function isStream({ schema }: KnownRoute): boolean {
  return JSON.stringify(schema.response ?? {}).includes('text/event-stream')
}

function describeBody(
  { schema }: KnownRoute,
  components: Record<string, JsonSchema>,
): Operation['requestBody'] {
  if (schema.consumes) {
    return { required: true, content: Object.fromEntries(schema.consumes.map((type) => [type, {}])) }
  }
  if (schema.body === undefined) return undefined
  const body = plainSchema(schema.body)
  const example = exampleOf(body, 'body')
  return {
    required: true,
    content: { 'application/json': { schema: hoistTitled(body, components), example } },
  }
}

const REASONS: Readonly<Record<string, string>> = {
  200: 'Done',
  201: 'Created',
  202: 'Accepted; it goes on after the answer',
  204: 'Done; there is nothing to say',
  503: 'Not ready',
}

function describeAnswers(route: KnownRoute, components: Record<string, JsonSchema>): Operation['responses'] {
  const { response = {}, querystring } = route.schema
  const isList = querystring !== undefined && plainSchema(querystring).properties?.['cursor'] !== undefined
  const headers: Record<string, { $ref: string }> = {
    'X-Request-Id': { $ref: '#/components/headers/RequestId' },
    ...(isList ? { Link: { $ref: '#/components/headers/Link' } } : {}),
  }
  return Object.fromEntries(
    Object.entries(response as Record<string, unknown>).map(([status, schema]) => {
      const content = status === '204' ? undefined : describeContent(plainSchema(schema), components)
      return [status, { description: REASONS[status] ?? 'Answer', headers, ...(content && { content }) }]
    }),
  )
}

function describeContent(schema: JsonSchema, components: Record<string, JsonSchema>): Record<string, Media> {
  const content = schema['content'] as Record<string, { schema: JsonSchema }> | undefined
  if (content) {
    return Object.fromEntries(
      Object.entries(content).map(([type, { schema: inner }]) => [
        type,
        { schema: hoistTitled(inner, components) },
      ]),
    )
  }
  return {
    'application/json': { schema: hoistTitled(schema, components), example: exampleOf(schema, 'answer') },
  }
}

/** The failures that a route can answer with, by what it declares. */
function describeFailures(route: KnownRoute): Operation['responses'] {
  const { method, access, schema, url } = route
  const writes = method !== 'GET'
  const known = !('public' in access)
  const codes: ErrorCode[] = [
    ...((schema.body ?? schema.querystring ?? schema.params) ? (['VALIDATION_ERROR'] as const) : []),
    ...(known || url === '/v1/auth/login' ? (['UNAUTHENTICATED'] as const) : []),
    ...(known ? (['FORBIDDEN'] as const) : []),
    ...(url.includes(':') ? (['NOT_FOUND'] as const) : []),
    ...(writes ? (['CONFLICT'] as const) : []),
    ...(['PUT', 'PATCH', 'DELETE'].includes(method) && url.includes(':')
      ? (['PRECONDITION_FAILED'] as const)
      : []),
    ...((schema.body ?? schema.consumes) ? (['PAYLOAD_TOO_LARGE', 'UNSUPPORTED_MEDIA_TYPE'] as const) : []),
    ...(writes && known ? (['POLICY_REFUSED'] as const) : []),
    'RATE_LIMITED',
    'INTERNAL',
  ]
  return Object.fromEntries(
    codes.map((code) => [ERROR_CATALOGUE[code].status, { $ref: `#/components/responses/${code}` }]),
  )
}
