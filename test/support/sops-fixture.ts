import { spawnSync } from 'node:child_process'
import { createCipheriv, createHash, randomBytes } from 'node:crypto'
import { stringify } from 'yaml'

export type Plain = string | number | boolean

export interface SopsFixtureOptions {
  /** Names whose values stay in the clear. */
  clear?: string[]
  /** Instead of the right one. */
  mac?: string
  extra?: Record<string, unknown>
}

const LAST_MODIFIED = '2026-11-27T12:00:00Z'

/** SOPS' form of a value: what it encrypts, and what its authentication code covers. */
function bytesOf(value: Plain): { type: string; bytes: Buffer } {
  if (typeof value === 'boolean') return { type: 'bool', bytes: Buffer.from(value ? 'True' : 'False') }
  if (typeof value === 'string') return { type: 'str', bytes: Buffer.from(value) }
  return { type: Number.isInteger(value) ? 'int' : 'float', bytes: Buffer.from(String(value)) }
}

function encrypt(bytes: Buffer, type: string, key: Buffer, place: string): string {
  if (bytes.length === 0) return ''
  const iv = randomBytes(32)
  const cipher = createCipheriv('aes-256-gcm', key, iv).setAAD(Buffer.from(place))
  const data = Buffer.concat([cipher.update(bytes), cipher.final()]).toString('base64')
  return `ENC[AES256_GCM,data:${data},iv:${iv.toString('base64')},tag:${cipher.getAuthTag().toString('base64')},type:${type}]`
}

/** A file as `sops encrypt --age RECIPIENT` writes it, made with nothing of ours: Debian's age wraps the data key. */
export function encryptFile(
  values: Readonly<Record<string, Plain>>,
  format: 'env' | 'json' | 'yaml',
  recipient: string,
  options: SopsFixtureOptions = {},
): string {
  const key = randomBytes(32)
  const wrapped = spawnSync('age', ['-r', recipient, '-a'], { input: key, encoding: 'utf8' })
  if (wrapped.status !== 0) throw new Error(`age: ${wrapped.stderr}`)
  const hash = createHash('sha512')
  const leaves = Object.entries(values).map(([name, value]): [string, Plain] => {
    const { type, bytes } = bytesOf(format === 'env' ? String(value) : value)
    hash.update(bytes)
    return [name, options.clear?.includes(name) ? value : encrypt(bytes, type, key, `${name}:`)]
  })
  const mac = encrypt(Buffer.from(options.mac ?? hash.digest('hex').toUpperCase()), 'str', key, LAST_MODIFIED)
  const sops = {
    age: [{ recipient, enc: wrapped.stdout }],
    lastmodified: LAST_MODIFIED,
    mac,
    unencrypted_suffix: '_unencrypted',
    version: '3.9.4',
    ...options.extra,
  }
  if (format === 'json') return JSON.stringify({ ...Object.fromEntries(leaves), sops }, null, 2)
  if (format === 'yaml') return stringify({ ...Object.fromEntries(leaves), sops })
  const line = (name: string, value: Plain): string =>
    `${name}=${String(value).replaceAll('\n', String.raw`\n`)}\n`
  return [
    ...leaves.map(([name, value]) => line(name, value)),
    line('sops_age__list_0__map_enc', wrapped.stdout),
    line('sops_age__list_0__map_recipient', recipient),
    line('sops_lastmodified', LAST_MODIFIED),
    line('sops_mac', mac),
    line('sops_version', '3.9.4'),
    ...Object.entries(options.extra ?? {}).map(([name, value]) => line(`sops_${name}`, String(value))),
  ].join('')
}
