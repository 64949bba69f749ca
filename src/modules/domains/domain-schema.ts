import { type Static, Type } from 'typebox'
import { CertificateSummary } from '../certificates/certificate-schema.ts'
import { Id, Instant, nullable, strictObject } from '../../http/schema.ts'

const HOUR_MS = 3_600_000

/**
 * How long a claim, a proven name and a proven wildcard wait for their next check at most, but for a quarter that chance adds or takes away. Each look at a
 * wildcard makes and removes a DNS record.
 */
export const LONGEST_PAUSES_MS = {
  claim: 6 * HOUR_MS,
  verified: 12 * HOUR_MS,
  wildcard: 7 * 24 * HOUR_MS,
}

export const DOMAIN_STATUSES = ['pending', 'verified', 'failed'] as const
export type DomainStatus = (typeof DOMAIN_STATUSES)[number]

/** Why a check did not succeed; each has a sentence that says what to do. */
export const CHECK_FAILURES = [
  'no_dns_record',
  'dns_unavailable',
  'internal_address',
  'connection_refused',
  'timed_out',
  'unreachable',
  'redirected',
  'wrong_status',
  'wrong_body',
  'no_txt_record',
  'wrong_txt_record',
  'hook_failed',
  'taken',
] as const
export type CheckFailure = (typeof CHECK_FAILURES)[number]

/** What a check of a claim came to. */
export type CheckOutcome =
  | { readonly ok: true }
  | { readonly ok: false; readonly code: CheckFailure; readonly reason: string }

/** Where the proof of a hostname is answered; the path is part of the /v1 contract. */
export const CHALLENGE_PREFIX = '/.well-known/denia-challenge/'
/** The label in front of a domain that carries the proof for a wildcard. */
export const CHALLENGE_LABEL = '_denia-challenge'

/** A row of `domains`: a claim to a hostname, proven or not. */
export interface DomainRow {
  id: string
  project_id: string
  service_id: string
  /** Lower case, without a trailing dot, international names in their ASCII form; `*.` in front of a wildcard. */
  hostname: string
  status: DomainStatus
  token: string
  reason_code: CheckFailure | null
  reason: string | null
  checked_at: string | null
  next_check_at: string
  /** Failed checks in a row, for the pause before the next one. */
  failures: number
  verified_at: string | null
  /** Of a verified domain whose checks fail; it leaves routing when they do for too long. */
  failing_since: string | null
  /** When a claim that is not proven is removed. Null: it is proven. */
  expires_at: string | null
  /** As long as it has no other certificate, one that the node signs itself answers to it. */
  self_signed: boolean
  revision: number
  created_at: string
  updated_at: string
}

const SelfSigned = Type.Boolean({
  description:
    'As long as the domain has no other certificate, it answers to HTTPS with one that the node signs itself, which no client trusts unasked.',
})

export const DomainCreate = strictObject(
  {
    hostname: Type.String({
      minLength: 1,
      maxLength: 1024,
      description:
        'Such as shop.example.com or *.example.com; capitals, a trailing dot and international names are put into their plain form.',
    }),
    self_signed: Type.Optional(SelfSigned),
  },
  { title: 'AddDomainBody', examples: [{ hostname: 'shop.example.com' }] },
)
export type DomainCreate = Static<typeof DomainCreate>

export const DomainPatch = strictObject(
  { self_signed: Type.Optional(SelfSigned) },
  { title: 'UpdateDomainBody', examples: [{ self_signed: true }] },
)
export type DomainPatch = Static<typeof DomainPatch>

export const Challenge = Type.Object(
  {
    type: Type.Enum(['http', 'dns'], {
      description: 'http: the hostname answers at url with the token; dns: a TXT record holds the token.',
    }),
    token: Type.String(),
    path: nullable(Type.String()),
    url: nullable(
      Type.String({
        description: 'What is fetched, of type http. Berth itself answers it once the name points here.',
      }),
    ),
    dns_name: nullable(
      Type.String({
        description:
          'The TXT record that is looked up, for a wildcard, and for a hostname that a wildcard of another project covers.',
      }),
    ),
  },
  { title: 'DomainChallenge' },
)

export const DomainView = Type.Object(
  {
    id: Id,
    project_id: Id,
    service_id: Id,
    hostname: Type.String(),
    status: Type.Enum(DOMAIN_STATUSES),
    challenge: Challenge,
    reason_code: Type.Unsafe<CheckFailure | null>({
      type: ['string', 'null'],
      enum: [...CHECK_FAILURES, null],
      description: 'Why the last check did not succeed.',
    }),
    reason: nullable(Type.String({ description: 'The same in words, with what to do.' })),
    checked_at: nullable(Instant),
    next_check_at: Instant,
    verified_at: nullable(Instant),
    failing_since: nullable(Type.String({ description: 'A verified domain whose checks fail since then.' })),
    expires_at: nullable(Type.String({ description: 'When a claim that is not proven is removed.' })),
    self_signed: SelfSigned,
    certificate: nullable(CertificateSummary),
    created_at: Instant,
    updated_at: Instant,
  },
  { title: 'Domain' },
)
/** What is answered; the revision becomes the ETag. */
export type DomainView = Static<typeof DomainView> & { revision: number }

/** `*.example.com` and the like. */
export function isWildcard(hostname: string): boolean {
  return hostname.startsWith('*.')
}
