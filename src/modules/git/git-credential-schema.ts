import { type Static, Type } from 'typebox'
import { Id, IdInPath, Instant, nullable, strictObject } from '../../http/schema.ts'
import type { ActorRecord } from '../identity/actor.ts'

export const CREDENTIAL_KINDS = ['ssh_key', 'https_token'] as const
export type CredentialKind = (typeof CREDENTIAL_KINDS)[number]

/** How a host is written: its name or address, and its port unless that is the protocol's own. */
const Host = (description: string) =>
  Type.String({
    minLength: 1,
    maxLength: 260,
    description,
    examples: ['git.example.com', 'git.example.com:2222'],
  })

export const GitCredentialCreate = strictObject(
  {
    kind: Type.Optional(
      Type.Enum(CREDENTIAL_KINDS, { description: 'Left out with generate: a key is what can be made.' }),
    ),
    generate: Type.Optional(
      Type.Boolean({
        description: 'Makes a new Ed25519 key here; its public half is answered, the other never.',
      }),
    ),
    name: Type.Optional(
      Type.String({ minLength: 1, maxLength: 100, pattern: '^\\P{Cc}*$', description: 'For people.' }),
    ),
    host: Type.Optional(
      Host(
        'The only host that it is shown to. Required for a token; without it, a key is for every ssh host.',
      ),
    ),
    path: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 1024,
        description: 'Only for repositories at or below this path of the host, such as acme or acme/shop.',
      }),
    ),
    username: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 200,
        pattern: '^[\\x21-\\x39\\x3b-\\x7e]+$',
        description: 'Goes along with the token; most hosts do not care. Default x-access-token.',
      }),
    ),
    token: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 4096,
        pattern: '^[\\x21-\\x7e]+$',
        description: 'An access token for https.',
      }),
    ),
    private_key: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 16_384,
        pattern: '^[\\x09\\x0a\\x0d\\x20-\\x7e]+$',
        description: 'A private key of OpenSSH (or PEM) without a passphrase.',
      }),
    ),
  },
  { title: 'CreateGitCredentialBody', examples: [{ generate: true, host: 'git.example.com' }] },
)
export type GitCredentialCreate = Static<typeof GitCredentialCreate>

export const GitCredentialView = Type.Object(
  {
    id: Id,
    project_id: Id,
    kind: Type.Enum(CREDENTIAL_KINDS),
    name: Type.String(),
    host: nullable(Type.String({ description: 'The only host that it is shown to; null: every ssh host.' })),
    path: nullable(
      Type.String({ description: 'Only for repositories at or below it; null: all of the host.' }),
    ),
    username: nullable(Type.String()),
    public_key: nullable(Type.String({ description: 'To be added to the repository as a deploy key.' })),
    fingerprint: nullable(Type.String({ description: 'Of the public key.' })),
    created_by: Type.Object({ kind: Type.String(), name: Type.String() }),
    created_at: Instant,
    last_used_at: nullable(Instant),
  },
  { title: 'GitCredential' },
)
export type GitCredentialView = Static<typeof GitCredentialView>

/** A row of `git_credentials`. */
export interface GitCredentialRow {
  id: string
  project_id: string
  kind: CredentialKind
  name: string
  host: string | null
  path: string | null
  username: string | null
  public_key: string | null
  /** A sealed document with one name, `secret`. */
  secret_sealed: string
  created_by: ActorRecord
  created_at: string
  last_used_at: string | null
}

export const GitHostKeyView = Type.Object(
  {
    id: Id,
    project_id: Id,
    host: Type.String(),
    type: Type.String({ description: 'Such as ssh-ed25519.' }),
    fingerprint: Type.String({ description: 'As ssh-keygen -l shows it.' }),
    public_key: Type.String({ description: 'As it stands in known_hosts.' }),
    created_at: Instant,
  },
  { title: 'GitHostKey' },
)
export type GitHostKeyView = Static<typeof GitHostKeyView>

/** A row of `git_host_keys`. */
export interface GitHostKeyRow {
  id: string
  project_id: string
  host: string
  type: string
  key: string
  created_at: string
}

export const CredentialParams = strictObject({ id: IdInPath, credential_id: IdInPath })
export const HostKeyParams = strictObject({ id: IdInPath, host_key_id: IdInPath })
