import { createPrivateKey, sign } from 'node:crypto'
import type { CertificatePair } from '../../../src/ingress/contract/certificate-file.ts'
import { makeCertificate } from '../../support/certificate.ts'

/**
 * A certificate for each name, all with one key. openssl makes the first one, of which the others are copies with another name and a
 * signature of their own: two thousand runs of openssl take minutes. The names must be of one length.
 */
export async function makeCertificates(names: readonly string[]): Promise<Map<string, CertificatePair>> {
  const [first = ''] = names
  const model = await makeCertificate(first)
  const key = createPrivateKey(model.key_pem)
  const der = Buffer.from(model.chain_pem.replaceAll(/-----[^-]+-----|\s/g, ''), 'base64')
  // Certificate ::= SEQUENCE { tbsCertificate, signatureAlgorithm, signatureValue } (RFC 5280, section 4.1).
  const signed = elementAt(der, elementAt(der, 0).start)
  const algorithm = elementAt(der, signed.end)
  const pairs = new Map<string, CertificatePair>()
  for (const name of names) {
    if (name.length !== first.length) throw new Error(`${name} is not as long as ${first}.`)
    const body = Buffer.from(
      der.toString('latin1', signed.at, signed.end).replaceAll(first, () => name),
      'latin1',
    )
    const signature = Buffer.concat([Buffer.of(0), sign('sha256', body, key)])
    const whole = element(
      0x30,
      Buffer.concat([body, der.subarray(algorithm.at, algorithm.end), element(0x03, signature)]),
    )
    const lines = whole.toString('base64').replaceAll(/.{1,64}/g, '$&\n')
    pairs.set(name, {
      chain_pem: `-----BEGIN CERTIFICATE-----\n${lines}-----END CERTIFICATE-----\n`,
      key_pem: model.key_pem,
    })
  }
  return pairs
}

/** Where an element of DER stands, with and without its tag and length (X.690, section 8.1). */
function elementAt(der: Buffer, at: number): { at: number; start: number; end: number } {
  const first = der[at + 1] ?? 0
  const digits = first < 0x80 ? 0 : first - 0x80
  const start = at + 2 + digits
  const length = digits === 0 ? first : der.readUIntBE(at + 2, digits)
  return { at, start, end: start + length }
}

function element(tag: number, content: Buffer): Buffer {
  const { length } = content
  const head =
    length < 0x80
      ? [tag, length]
      : length < 0x100
        ? [tag, 0x81, length]
        : [tag, 0x82, length >> 8, length & 0xff]
  return Buffer.concat([Buffer.from(head), content])
}
