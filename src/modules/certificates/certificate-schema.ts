import { type Static, Type } from 'typebox'
import { isDue } from '../../lib/not-before.ts'
import { EXAMPLE_ID, Id, Instant, nullable, strictObject } from '../../http/schema.ts'

const DAY_MS = 86_400_000

/** The longest pause after an attempt that did not work, but for what is added by chance. */
export const LONGEST_RETRY_MS = DAY_MS
/** What an authority asks for may be longer, up to this. */
export const MAX_RETRY_AFTER_MS = 7 * DAY_MS
/** Until an authority is asked again how urgent a renewal is. */
export const LONGEST_INFO_PAUSE_MS = DAY_MS

export const CERTIFICATE_SOURCES = ['acme', 'upload', 'self_signed'] as const
export type CertificateSource = (typeof CERTIFICATE_SOURCES)[number]

/** Where an order is: each step can run again, and the order at the certificate authority says how far it came. */
export const ORDER_STEPS = ['order', 'authorize', 'finalize', 'download'] as const
export type OrderStep = (typeof ORDER_STEPS)[number]

/** A first order may go to the authority's staging servers, whose limits are wide. */
export type OrderStage = 'staging' | 'production'

/** RFC 8555, section 8.3. */
export const ACME_CHALLENGE_PREFIX = '/.well-known/acme-challenge/'

/** What is answered below that while an order is checked. */
export interface OrderChallenge {
  token: string
  body: string
}

/** A row of `certificates`: one that there is, one that is being obtained, or both while it is renewed. */
export interface CertificateRow {
  id: string
  /** Null: of the node itself. */
  project_id: string | null
  source: CertificateSource
  /** What it was obtained for, or the first name of an uploaded one. */
  hostname: string
  hostnames: string[]
  /** Of the sealed pair that is served; null: there is none yet. */
  file_id: string | null
  issuer: string | null
  serial: string | null
  fingerprint: string | null
  not_before: string | null
  not_after: string | null
  stage: OrderStage
  step: OrderStep | null
  order_url: string | null
  /** The private key of the certificate that is being obtained: it must outlive a crash between finalize and download. */
  order_key_sealed: string | null
  challenge: OrderChallenge | null
  failures: number
  last_error: string | null
  last_error_at: string | null
  /** When it is obtained, tried again or renewed; null: never by itself. */
  next_attempt_at: string | null
  /** The authority does not want to be asked before, by its Retry-After. */
  retry_after: string | null
  /** When the authority is asked how urgent a renewal is (RFC 9773); null: it does not say. */
  next_info_at: string | null
  revision: number
  created_at: string
  updated_at: string
}

export const CERTIFICATE_STATUSES = ['pending', 'active', 'expired', 'failed'] as const
export type CertificateStatus = (typeof CERTIFICATE_STATUSES)[number]

/** Derived, never stored. */
export function certificateStatus(row: CertificateRow, now: string): CertificateStatus {
  if (row.file_id !== null && row.not_after !== null) return row.not_after > now ? 'active' : 'expired'
  return row.failures > 0 ? 'failed' : 'pending'
}

/** The soonest that the authority may be asked again. */
export function soonestAttempt({ retry_after: after }: CertificateRow, now: string): string {
  return after === null || isDue(after, now, MAX_RETRY_AFTER_MS) ? now : after
}

const Source = Type.Enum(CERTIFICATE_SOURCES, {
  description:
    'acme: obtained from an authority; upload: sent by someone; self_signed: the node made it itself, so that no client trusts it unasked.',
})

export const CertificateView = Type.Object(
  {
    id: Id,
    project_id: nullable(Type.String({ description: 'Null: it is of the node itself.' })),
    source: Source,
    status: Type.Enum(CERTIFICATE_STATUSES, {
      description:
        'pending: being obtained for the first time; failed: the same, and it did not work yet; active and expired: there is one.',
    }),
    hostnames: Type.Array(Type.String()),
    serves: Type.Array(Type.String(), { description: 'The hostnames that it answers to now.' }),
    issuer: nullable(Type.String()),
    serial: nullable(Type.String()),
    fingerprint: nullable(Type.String({ description: 'SHA-256, hexadecimal' })),
    not_before: nullable(Instant),
    not_after: nullable(Instant),
    step: nullable(
      Type.String({ description: 'What is under way: order, authorize, finalize or download.' }),
    ),
    stage: Type.Enum(['staging', 'production']),
    failures: Type.Integer({ description: 'Attempts in a row that did not work.' }),
    last_error: nullable(Type.String()),
    last_error_at: nullable(Instant),
    next_attempt_at: nullable(
      Type.String({
        description: 'When it is obtained, made, tried again or renewed; null: never by itself.',
      }),
    ),
    created_at: Instant,
    updated_at: Instant,
  },
  { title: 'Certificate' },
)
/** What is answered; the revision becomes the ETag. */
export type CertificateView = Static<typeof CertificateView> & { revision: number }

/** What a domain says of the certificate that answers to it. */
export const CertificateSummary = Type.Object(
  {
    id: Id,
    source: Source,
    status: Type.Enum(CERTIFICATE_STATUSES),
    not_after: nullable(Instant),
    last_error: nullable(Type.String()),
    next_attempt_at: nullable(Instant),
    obtaining: nullable(
      Type.Object(
        {
          id: Id,
          status: Type.Enum(CERTIFICATE_STATUSES),
          last_error: nullable(Type.String()),
          next_attempt_at: nullable(Instant),
        },
        {
          title: 'AwaitedCertificate',
          description: 'The one that takes the place of this self-signed one as soon as it is there.',
        },
      ),
    ),
  },
  { title: 'CertificateSummary' },
)
export type CertificateSummary = Static<typeof CertificateSummary>

const Pem = (description: string) => Type.String({ minLength: 1, maxLength: 65_536, description })

export const CertificateUpload = strictObject(
  {
    project_id: nullable(
      Type.String({ maxLength: 64, description: 'Whose domains it is for. Null: for the control domain.' }),
    ),
    certificate: Pem('PEM: the certificate, and behind it those that lead to a known authority.'),
    private_key: Pem('PEM, without a pass phrase. It is sealed and never read back.'),
  },
  {
    title: 'UploadCertificateBody',
    examples: [
      {
        project_id: EXAMPLE_ID,
        certificate: '-----BEGIN CERTIFICATE-----\n...\n-----END CERTIFICATE-----\n',
        private_key: '-----BEGIN PRIVATE KEY-----\n...\n-----END PRIVATE KEY-----\n',
      },
    ],
  },
)
export type CertificateUpload = Static<typeof CertificateUpload>

export const REVOCATION_REASONS = ['unspecified', 'key_compromise', 'superseded', 'cessation'] as const
export type RevocationReason = (typeof REVOCATION_REASONS)[number]

export const RevokeRequest = strictObject(
  { reason: Type.Optional(Type.Enum(REVOCATION_REASONS, { description: 'Default unspecified.' })) },
  { title: 'RevokeCertificateBody', examples: [{ reason: 'superseded' }] },
)
