import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { openBox, sealBox } from '../../lib/sealed-box.ts'

/** A certificate with its intermediates, and its private key, both as PEM. */
export interface CertificatePair {
  chain_pem: string
  key_pem: string
}

/** Within the ingress directory; its files are sealed with the key of the data plane. */
export const CERTIFICATES_DIRECTORY = 'certificates'
const ENDING = '.sealed'

/** The name of a pair: the same pair has the same name, and a name never stands for another pair. */
export function certificateIdOf({ chain_pem, key_pem }: CertificatePair): string {
  return createHash('sha256')
    .update(JSON.stringify([chain_pem, key_pem]))
    .digest('hex')
}

export function certificatePath(directory: string, id: string): string {
  return join(directory, CERTIFICATES_DIRECTORY, `${id}${ENDING}`)
}

/** The id in the name of a certificate file; undefined for any other file. */
export function idOfCertificateFile(name: string): string | undefined {
  return /^([0-9a-f]{64})\.sealed$/.exec(name)?.[1]
}

export function sealCertificate(pair: CertificatePair, key: Buffer): Buffer {
  const { chain_pem, key_pem } = pair
  return sealBox(Buffer.from(JSON.stringify({ chain_pem, key_pem })), key, placeOf(certificateIdOf(pair)))
}

/** Opens what stands in the file of certificate `id`; throws when it is another one or was changed. */
export function openCertificate(sealed: Buffer, key: Buffer, id: string): CertificatePair {
  const pair: Partial<CertificatePair> = JSON.parse(openBox(sealed, key, placeOf(id)).toString())
  const { chain_pem, key_pem } = pair
  if (typeof chain_pem !== 'string' || typeof key_pem !== 'string')
    throw new Error(`certificate ${id} is not whole`)
  return { chain_pem, key_pem }
}

function placeOf(id: string): string {
  return `certificate:${id}`
}
