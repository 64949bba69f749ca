import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto'

/** What is wrong with a certificate or key that someone sent; the message is for them. */
export class PairError extends Error {
  readonly field: 'certificate' | 'private_key'

  constructor(field: 'certificate' | 'private_key', message: string) {
    super(message)
    this.name = 'PairError'
    this.field = field
  }
}

/** What stands in a certificate. */
export interface CertificateFacts {
  hostnames: string[]
  issuer: string
  serial: string
  fingerprint: string
  not_before: string
  not_after: string
}

const BLOCK = /-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----/g
const MAX_CHAIN = 10
const MIN_RSA_BITS = 2048
/** Each whole handshake signs once in a process of the ingress: 2 ms at 4096 bits, 36 ms at 8192. */
const MAX_RSA_BITS = 4096

/** The certificates of a PEM chain, the leaf first. Throws PairError. */
export function readChain(pem: string): X509Certificate[] {
  const blocks = pem.match(BLOCK) ?? []
  if (blocks.length === 0) throw new PairError('certificate', 'must hold a PEM certificate')
  if (blocks.length > MAX_CHAIN)
    throw new PairError('certificate', `must hold at most ${MAX_CHAIN} certificates`)
  try {
    return blocks.map((block) => new X509Certificate(block))
  } catch {
    throw new PairError('certificate', 'holds a certificate that cannot be read')
  }
}

/** Names and dates of the leaf. Throws PairError when it names no host. */
export function readFacts(leaf: X509Certificate): CertificateFacts {
  const hostnames = (leaf.subjectAltName ?? '')
    .split(', ')
    .flatMap((each) => (each.startsWith('DNS:') ? [each.slice(4).toLowerCase()] : []))
  if (hostnames.length === 0) throw new PairError('certificate', 'names no host (subjectAltName)')
  return {
    hostnames,
    issuer: /^(?:CN|O)=(.+)$/m.exec(leaf.issuer)?.[1] ?? leaf.issuer.replaceAll('\n', ', '),
    serial: leaf.serialNumber.toLowerCase(),
    fingerprint: leaf.fingerprint256.replaceAll(':', '').toLowerCase(),
    not_before: leaf.validFromDate.toISOString(),
    not_after: leaf.validToDate.toISOString(),
  }
}

/**
 * Checks what someone uploads: the key belongs to the certificate, the chain is in order, nothing has expired or is too weak for a TLS
 * client. Answers the pair in the form that is kept. Throws PairError.
 */
export function readPair(
  certificate: string,
  privateKey: string,
  nowMs: number,
): { chain_pem: string; key_pem: string; facts: CertificateFacts } {
  const chain = readChain(certificate)
  const [leaf] = chain
  if (leaf === undefined) throw new PairError('certificate', 'must hold a PEM certificate')
  const key = readKey(privateKey)
  if (!leaf.checkPrivateKey(key)) throw new PairError('private_key', 'does not belong to the certificate')
  for (const [index, issuer] of chain.slice(1).entries()) {
    if (!chain[index]?.checkIssued(issuer))
      throw new PairError(
        'certificate',
        `is out of order: certificate ${index + 2} did not issue the one before it`,
      )
  }
  if (leaf.validToDate.getTime() <= nowMs)
    throw new PairError('certificate', `expired at ${leaf.validToDate.toISOString()}`)
  return {
    chain_pem: chain.map((each) => each.toString()).join(''),
    key_pem: String(key.export({ type: 'pkcs8', format: 'pem' })),
    facts: readFacts(leaf),
  }
}

function readKey(pem: string): KeyObject {
  let key: KeyObject
  try {
    key = createPrivateKey(pem)
  } catch {
    throw new PairError('private_key', 'must be a private key in PEM without a pass phrase')
  }
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = key
  const bits = details?.modulusLength ?? 0
  if (type === 'rsa' && (bits < MIN_RSA_BITS || bits > MAX_RSA_BITS))
    throw new PairError('private_key', `has ${bits} bits: RSA keys have ${MIN_RSA_BITS} to ${MAX_RSA_BITS}`)
  if (type !== 'rsa' && type !== 'ec' && type !== 'ed25519')
    throw new PairError('private_key', 'must be of type RSA, EC or Ed25519')
  return key
}

/** Whether one of these names, which may begin with `*.`, answers to a hostname (RFC 6125, section 6.4.3). */
export function covers(names: readonly string[], hostname: string): boolean {
  const dot = hostname.indexOf('.')
  return names.some((name) => name === hostname || (dot > 0 && name === `*${hostname.slice(dot)}`))
}

const AUTHORITY_KEY_IDENTIFIER = Buffer.from('0603551d23', 'hex')

/**
 * The name of a certificate for renewal information: key identifier of its issuer and serial number (RFC 9773, section 4.1). Undefined
 * when it names no issuer key.
 */
export function renewalId(leaf: X509Certificate): string | undefined {
  const at = leaf.raw.indexOf(AUTHORITY_KEY_IDENTIFIER)
  if (at < 0) return undefined
  // OCTET STRING, SEQUENCE, [0]; a key identifier is short, so that every length is one byte.
  const value = leaf.raw.subarray(at + AUTHORITY_KEY_IDENTIFIER.length)
  const [octets, , sequence, , tag, length] = value
  if (octets !== 0x04 || sequence !== 0x30 || tag !== 0x80 || length === undefined || length > 0x7f)
    return undefined
  const serial = Buffer.from(
    leaf.serialNumber.padStart(leaf.serialNumber.length + (leaf.serialNumber.length % 2), '0'),
    'hex',
  )
  // A DER integer is signed: one that begins with a set bit has a zero in front.
  const integer = ((serial[0] ?? 0) & 0x80) === 0 ? serial : Buffer.concat([Buffer.from([0]), serial])
  return `${value.subarray(6, 6 + length).toString('base64url')}.${integer.toString('base64url')}`
}
