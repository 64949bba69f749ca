import { type Static, Type } from 'typebox'
import { IdInPath, Instant, strictObject } from '../../http/schema.ts'

export const AUTH_KINDS = ['anonymous', 'basic', 'token', 'ecr_token', 'gar_token'] as const
export type AuthKind = (typeof AUTH_KINDS)[number]

/** A row of `external_registries`. */
export interface ExternalRegistryRow {
  id: string
  project_id: string
  name: string
  /** An origin: `https://ghcr.io`. */
  endpoint: string
  auth_kind: AuthKind
  credentials_sealed: string | null
  revision: number
  created_at: string
  updated_at: string
}

const Name = Type.String({
  pattern: '^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$',
  description: 'Unique in the project.',
})
const Endpoint = Type.String({
  minLength: 1,
  maxLength: 300,
  description:
    'Where it answers: ghcr.io, or https://registry.example.com:5000. Plain http:// is for hosts on loopback only.',
})
const Kind = Type.Enum(AUTH_KINDS, {
  description:
    'basic: username and password. token: a bearer token, or one that the token service takes for it. ecr_token and gar_token: what aws ecr get-login-password and gcloud auth print-access-token answer.',
})
const Secret = (description: string) =>
  Type.Optional(Type.String({ minLength: 1, maxLength: 16_384, pattern: '^[^\\0\\r\\n]+$', description }))
const Secrets = {
  username: Type.Optional(
    Type.String({ minLength: 1, maxLength: 255, pattern: '^[^\\0\\r\\n:]+$', description: 'For basic.' }),
  ),
  password: Secret('For basic. Sealed, never read back.'),
  token: Secret('For the kinds of token. Sealed, never read back.'),
}

export const ExternalRegistryCreate = Type.Object(
  { name: Name, endpoint: Endpoint, auth_kind: Kind, ...Secrets },
  {
    additionalProperties: false,
    title: 'ExternalRegistryBody',
    examples: [{ name: 'ghcr', endpoint: 'ghcr.io', auth_kind: 'anonymous' }],
  },
)
export type ExternalRegistryCreate = Static<typeof ExternalRegistryCreate>

export const ExternalRegistryPatch = Type.Object(
  {
    name: Type.Optional(Name),
    endpoint: Type.Optional(Endpoint),
    auth_kind: Type.Optional(Kind),
    ...Secrets,
  },
  { additionalProperties: false, title: 'PatchExternalRegistryBody', examples: [{ name: 'github' }] },
)
export type ExternalRegistryPatch = Static<typeof ExternalRegistryPatch>

export const ExternalRegistryParams = strictObject({ id: IdInPath, registry_id: IdInPath })

export const ExternalRegistryView = Type.Object(
  {
    id: Type.String(),
    project_id: Type.String(),
    name: Type.String(),
    endpoint: Type.String(),
    auth_kind: Type.Enum(AUTH_KINDS),
    created_at: Instant,
    updated_at: Instant,
  },
  { title: 'ExternalRegistry' },
)
export type ExternalRegistryView = Static<typeof ExternalRegistryView> & { revision: number }
