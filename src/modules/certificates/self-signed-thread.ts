import {
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  PemConverter,
  SubjectAlternativeNameExtension,
  X509CertificateGenerator,
} from '@peculiar/x509'
import { randomBytes, webcrypto } from 'node:crypto'
import { flushCompileCache } from 'node:module'
import { parentPort, workerData } from 'node:worker_threads'
import type { Obtained } from './certificate-order.ts'
import type { SelfSignedOrder } from './self-signed-pairs.ts'

const KEY = { name: 'ECDSA', namedCurve: 'P-256' } as const
const SIGNATURE = { name: 'ECDSA', hash: 'SHA-256' } as const

/**
 * A certificate for one name, signed with its own key (RFC 5280). It is no authority: whoever makes a client trust it trusts it for this name, and for
 * nothing that its key could sign. It states no other use of the key, because clients look for one in those that they take for authorities.
 */
async function makePair(hostname: string, { not_before, not_after }: SelfSignedOrder): Promise<Obtained> {
  const keys = await webcrypto.subtle.generateKey(KEY, true, ['sign', 'verify'])
  const serial = randomBytes(16)
  // Positive, and of the same length always.
  serial[0] = 0x40 | ((serial[0] ?? 0) & 0x3f)
  const certificate = await X509CertificateGenerator.createSelfSigned({
    serialNumber: serial.toString('hex'),
    // Not the hostname: that may be longer than a common name can be.
    name: 'CN=Berth (self-signed)',
    notBefore: new Date(not_before),
    notAfter: new Date(not_after),
    keys,
    signingAlgorithm: SIGNATURE,
    extensions: [
      new BasicConstraintsExtension(false, undefined, true),
      new ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth]),
      new SubjectAlternativeNameExtension([{ type: 'dns', value: hostname }]),
    ],
  })
  const key = await webcrypto.subtle.exportKey('pkcs8', keys.privateKey)
  return {
    chain_pem: `${certificate.toString('pem')}\n`,
    key_pem: `${PemConverter.encode(key, 'PRIVATE KEY')}\n`,
  }
}

const order = workerData as SelfSignedOrder
for (const hostname of order.hostnames)
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
  parentPort?.postMessage(await makePair(hostname, order))
flushCompileCache()
