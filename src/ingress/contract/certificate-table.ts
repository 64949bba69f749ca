/**
 * What the data plane is told of TLS: which certificate answers to which name. A set of its own, apart from the routes, because two
 * thousand certificates change at other times than replicas do. It names files and holds no key.
 */
export interface CertificateSet {
  /** Rises by one with every change. */
  version: number
  certificates: CertificateEntry[]
}

export interface CertificateEntry {
  /**
   * Lower case. Exact; or `*.example.org` for names with one label in the star's place (RFC 6125, section 6.4.3); or `*` for every
   * other name and for clients that name none.
   */
  hostname: string
  /** Of the sealed file that holds chain and key. */
  certificate_id: string
}

export const NO_CERTIFICATES: CertificateSet = { version: 0, certificates: [] }

const NAME =
  /^(?=.{1,253}$)(?:\*|(?:\*\.)?[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*)$/
const CERTIFICATE_ID = /^[0-9a-f]{64}$/

/** True for the name of a sealed certificate file, without its ending. */
export function isCertificateId(value: unknown): value is string {
  return typeof value === 'string' && CERTIFICATE_ID.test(value)
}

/** Reads a set that came from a file or a socket; undefined when it is not one. */
export function parseCertificateSet(value: unknown): CertificateSet | undefined {
  if (typeof value !== 'object' || value === null) return undefined
  const { version, certificates }: Partial<CertificateSet> = value
  if (!Number.isSafeInteger(version) || (version as number) < 0 || !Array.isArray(certificates))
    return undefined
  return certificates.every(isEntry) ? { version: version as number, certificates } : undefined
}

function isEntry(value: unknown): value is CertificateEntry {
  if (typeof value !== 'object' || value === null) return false
  const { hostname, certificate_id }: Partial<CertificateEntry> = value
  return typeof hostname === 'string' && NAME.test(hostname) && isCertificateId(certificate_id)
}
