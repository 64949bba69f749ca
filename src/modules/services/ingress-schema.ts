import { type Static, Type } from 'typebox'
import { nullable, strictObject } from '../../http/schema.ts'

const Path = (description: string) =>
  Type.String({ pattern: '^/[\\x21-\\x22\\x24-\\x3e\\x40-\\x7e]*$', maxLength: 1024, description })
const Address = Type.String({ minLength: 2, maxLength: 64, description: 'An address or a CIDR range.' })

const Redirect = strictObject({
  path: Path('This path and what is below it; the rest of the path and the query go along.'),
  exact: Type.Optional(Type.Boolean({ description: 'Only this very path. Default false.' })),
  to: Type.String({
    pattern: '^(https?://[\\x21-\\x7e]+|/[\\x21-\\x7e]*)$',
    maxLength: 2048,
    description: 'An http(s) URL or a path.',
  }),
  status: Type.Optional(Type.Enum([301, 302, 303, 307, 308], { description: 'Default 308.' })),
})

const HeaderChanges = strictObject({
  set: Type.Optional(
    Type.Unsafe<Record<string, string>>({
      type: 'object',
      additionalProperties: { type: 'string', pattern: '^[\\x20-\\x7e\\t]*$', maxLength: 4096 },
      maxProperties: 50,
    }),
  ),
  remove: Type.Optional(Type.Array(Type.String({ maxLength: 128 }), { maxItems: 50 })),
})

const PathRule = strictObject({
  prefix: Path('Requests for this path and what is below it go to another service of the project.'),
  service: Type.String({ maxLength: 40, description: 'Its name.' }),
  strip: Type.Optional(Type.Boolean({ description: 'Whether the prefix is taken off. Default false.' })),
})

/** `ingress` of a service as it is sent: what is left out stays, null takes its default. */
export const IngressInput = strictObject(
  {
    https_redirect: Type.Optional(
      Type.Boolean({ description: 'Send http on to https where there is a certificate. Default true.' }),
    ),
    canonical: Type.Optional(
      Type.Unsafe<'www' | 'apex' | null>({
        type: ['string', 'null'],
        enum: ['www', 'apex', null],
        description:
          'Of a domain that is attached with and without www., the one that requests are sent on to.',
      }),
    ),
    redirects: Type.Optional(Type.Array(Redirect, { maxItems: 100 })),
    basic_auth: Type.Optional(
      nullable(
        strictObject({
          realm: Type.Optional(
            Type.String({ pattern: '^[\\x20-\\x21\\x23-\\x5b\\x5d-\\x7e]*$', maxLength: 100 }),
          ),
          users: Type.Array(
            strictObject({
              username: Type.String({ pattern: '^[^:\\x00-\\x1f\\x7f]+$', maxLength: 100 }),
              password: Type.Optional(
                Type.String({
                  minLength: 16,
                  maxLength: 256,
                  description: 'Stored as a salted hash and never answered. Left out: it stays.',
                }),
              ),
            }),
            { minItems: 1, maxItems: 50 },
          ),
        }),
      ),
    ),
    request_headers: Type.Optional(nullable(HeaderChanges)),
    response_headers: Type.Optional(nullable(HeaderChanges)),
    paths: Type.Optional(Type.Array(PathRule, { maxItems: 50 })),
    max_body_bytes: Type.Optional(
      Type.Unsafe<number | null>({ type: ['integer', 'null'], minimum: 0, maximum: 2 ** 50 }),
    ),
    allow: Type.Optional(
      Type.Array(Address, { maxItems: 256, description: 'When there are any, only these.' }),
    ),
    deny: Type.Optional(
      Type.Array(Address, { maxItems: 256, description: 'Not these, whatever allow says.' }),
    ),
    maintenance: Type.Optional(
      nullable(
        strictObject({
          message: Type.Optional(Type.String({ maxLength: 500 })),
          retry_after_seconds: Type.Optional(Type.Integer({ minimum: 1, maximum: 86_400 })),
        }),
      ),
    ),
    sticky: Type.Optional(
      Type.Boolean({ description: 'Whether a client keeps its replica, by a cookie. Default false.' }),
    ),
  },
  { title: 'IngressInput' },
)
export type IngressInput = Static<typeof IngressInput>

export interface StoredUser {
  username: string
  salt: string
  sha256: string
}

/** `ingress` of a service as it is stored. */
export interface IngressSettings {
  https_redirect: boolean
  canonical: 'www' | 'apex' | null
  redirects: { path: string; exact: boolean; to: string; status: number }[]
  basic_auth: { realm: string; users: StoredUser[] } | null
  request_headers: { set: Record<string, string>; remove: string[] } | null
  response_headers: { set: Record<string, string>; remove: string[] } | null
  paths: { prefix: string; service: string; strip: boolean }[]
  max_body_bytes: number | null
  allow: string[]
  deny: string[]
  maintenance: { message: string; retry_after_seconds: number } | null
  sticky: boolean
}

export const DEFAULT_INGRESS: IngressSettings = {
  https_redirect: true,
  canonical: null,
  redirects: [],
  basic_auth: null,
  request_headers: null,
  response_headers: null,
  paths: [],
  max_body_bytes: null,
  allow: [],
  deny: [],
  maintenance: null,
  sticky: false,
}

/** What holds for what is left out of a part that was sent. */
export const REDIRECT_DEFAULTS = { exact: false, status: 308 }
export const PATH_DEFAULTS = { strip: false }
export const MAINTENANCE_DEFAULTS = {
  message: 'This service is being worked on. Try again shortly.',
  retry_after_seconds: 60,
}
export const REALM = 'Restricted'

const Headers = Type.Object({
  set: Type.Record(Type.String(), Type.String()),
  remove: Type.Array(Type.String()),
})

export const IngressView = Type.Object(
  {
    https_redirect: Type.Boolean(),
    canonical: nullable(Type.String()),
    redirects: Type.Array(
      Type.Object({ path: Type.String(), exact: Type.Boolean(), to: Type.String(), status: Type.Integer() }),
    ),
    basic_auth: nullable(
      Type.Object({
        realm: Type.String(),
        users: Type.Array(Type.Object({ username: Type.String() })),
      }),
    ),
    request_headers: nullable(Headers),
    response_headers: nullable(Headers),
    paths: Type.Array(Type.Object({ prefix: Type.String(), service: Type.String(), strip: Type.Boolean() })),
    max_body_bytes: Type.Unsafe<number | null>({ type: ['integer', 'null'] }),
    allow: Type.Array(Type.String()),
    deny: Type.Array(Type.String()),
    maintenance: nullable(Type.Object({ message: Type.String(), retry_after_seconds: Type.Integer() })),
    sticky: Type.Boolean(),
  },
  { title: 'Ingress', description: 'What happens to requests before the service gets them.' },
)
