import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import type { CertificatePair } from '../../src/ingress/contract/certificate-file.ts'

const run = promisify(execFile)

/** A self-signed certificate for these names, made by openssl; its chain is its own authority. */
export async function makeCertificate(...hostnames: string[]): Promise<CertificatePair> {
  const names = hostnames.map((name) => `DNS:${name}`).join(',')
  const options =
    '-x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=test -keyout - -out -'
  const { stdout } = await run('openssl', [
    'req',
    ...options.split(' '),
    '-addext',
    `subjectAltName=${names}`,
  ])
  const pem = (kind: string): string =>
    new RegExp(`-----BEGIN ${kind}-----[^]+?-----END ${kind}-----\n`).exec(stdout)?.[0] ?? ''
  return { chain_pem: pem('CERTIFICATE'), key_pem: pem('PRIVATE KEY') }
}
