import { AppError, ERROR_CATALOGUE, type ErrorCode } from '../../lib/errors.ts'
import { errorBody } from '../error-body.ts'
import type { KnownRoute } from '../route-index.ts'
import { ErrorBody, EXAMPLE_ID } from '../schema.ts'
import { SESSION_COOKIE } from '../session-cookie.ts'
import { type JsonSchema, plainSchema } from './json-schema.ts'
import { type AnswerObject, describeOperation, type Operation, type Parameter } from './operation.ts'

export interface OpenApiDocument {
  openapi: '3.1.0'
  info: { title: string; version: string; description: string; license: { name: string; identifier: string } }
  servers: { url: string }[]
  tags: { name: string }[]
  paths: Record<string, Record<string, Operation>>
  components: {
    schemas: Record<string, JsonSchema>
    responses: Record<string, AnswerObject>
    parameters: Record<string, Parameter>
    headers: Record<string, { description: string; schema: JsonSchema }>
    securitySchemes: Record<string, object>
  }
}

const DESCRIPTION = `The API of Berth. JSON with snake_case names; instants are RFC 3339 UTC. Fields that are unknown are refused by name.

Lists are arrays; while there is more, the \`Link\` header has the next page. Every answer has an \`X-Request-Id\`, which stands in the log too.
Every failure has the shape of \`Error\`. What a caller may not see is answered as if it did not exist.`

/** Describes the routes as OpenAPI 3.1; the same routes give the same text. Pages and HEAD are left out. */
export function buildOpenApi(routes: readonly KnownRoute[], version: string): OpenApiDocument {
  const schemas: Record<string, JsonSchema> = { Error: plainSchema(ErrorBody) }
  const paths: OpenApiDocument['paths'] = {}
  const shown = routes.filter(({ method, schema }) => method !== 'HEAD' && schema.hide !== true)
  for (const route of shown.toSorted(byPath)) {
    const path = route.url.replaceAll(/:([A-Za-z_]+)/g, '{$1}')
    paths[path] = { ...paths[path], [route.method.toLowerCase()]: describeOperation(route, schemas) }
  }
  const tags = new Set(
    Object.values(paths).flatMap((path) => Object.values(path).flatMap(({ tags: each }) => each)),
  )
  return {
    openapi: '3.1.0',
    info: {
      title: 'Berth',
      version,
      description: DESCRIPTION,
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: '/' }],
    tags: [...tags].toSorted(byText).map((name) => ({ name })),
    paths,
    components: {
      schemas: Object.fromEntries(Object.entries(schemas).toSorted(([a], [b]) => byText(a, b))),
      responses: failureResponses(),
      parameters: PARAMETERS,
      headers: HEADERS,
      securitySchemes: {
        bearer: { type: 'http', scheme: 'bearer', description: 'A session token or an API token' },
        session_cookie: {
          type: 'apiKey',
          in: 'cookie',
          name: SESSION_COOKIE,
          description: 'For browsers; writes also need an Origin of the same host',
        },
      },
    },
  }
}

const METHODS = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE']

function byPath(a: KnownRoute, b: KnownRoute): number {
  return byText(a.url, b.url) || METHODS.indexOf(a.method) - METHODS.indexOf(b.method)
}

function byText(a: string, b: string): number {
  if (a === b) return 0
  return a < b ? -1 : 1
}

const PARAMETERS: Record<string, Parameter> = {
  IdempotencyKey: {
    name: 'Idempotency-Key',
    in: 'header',
    required: false,
    description:
      'A text of your choice, new for each thing to do: a repeated request with it gets the first answer again for 24 hours.',
    schema: { type: 'string', minLength: 1, maxLength: 200, pattern: '^[\\x21-\\x7e]+$' },
  },
  IfMatch: {
    name: 'If-Match',
    in: 'header',
    required: false,
    description: 'An ETag: only if the resource is still as it was read; 412 otherwise.',
    schema: { type: 'string' },
  },
  LastEventId: {
    name: 'Last-Event-ID',
    in: 'header',
    required: false,
    description: 'Go on behind this event.',
    schema: { type: 'string' },
  },
}

const HEADERS = {
  RequestId: {
    description: 'The id of this request, which is in the log too',
    schema: { type: 'string', format: 'uuid' },
  },
  Link: {
    description: 'The next page as `<...>; rel="next"` while there is more',
    schema: { type: 'string' },
  },
  RetryAfter: { description: 'Seconds to wait', schema: { type: 'integer' } },
}

function failureResponses(): Record<string, AnswerObject> {
  const codes = Object.keys(ERROR_CATALOGUE) as ErrorCode[]
  return Object.fromEntries(
    codes.map((code) => {
      const error = new AppError(code, exampleDetails(code))
      const retry = error.status === 429 || error.status === 503
      return [
        code,
        {
          description: error.message,
          headers: {
            'X-Request-Id': { $ref: '#/components/headers/RequestId' },
            ...(retry ? { 'Retry-After': { $ref: '#/components/headers/RetryAfter' } } : {}),
          },
          content: {
            'application/json': {
              schema: { $ref: '#/components/schemas/Error' },
              example: errorBody(error, EXAMPLE_ID),
            },
          },
        },
      ]
    }),
  )
}

function exampleDetails(code: ErrorCode) {
  if (code === 'VALIDATION_ERROR') return { details: [{ field: 'colour', message: 'is not a known field' }] }
  return code === 'FORBIDDEN' ? { permission: 'services.write' } : {}
}
