import { createHash, generateKeyPairSync } from 'node:crypto'
import type { System } from '../../lib/system.ts'

/** How people tell keys apart: as `ssh-keygen -l` shows it. `key` is base64, as in a public key file or in known_hosts. */
export function fingerprintOf(key: string): string {
  const digest = createHash('sha256').update(Buffer.from(key, 'base64')).digest('base64')
  return `SHA256:${digest.replace(/=+$/, '')}`
}

/** A public key file's line in parts; undefined when it is none. */
export function readPublicKey(line: string): { type: string; key: string } | undefined {
  const [, type, key] =
    /^(ssh-[a-z0-9-]+|ecdsa-sha2-[a-z0-9-]+|sk-[a-z0-9@.-]+) ([A-Za-z0-9+/]+={0,2})(?:\s|$)/.exec(line) ?? []
  return type === undefined || key === undefined ? undefined : { type, key }
}

const MAGIC = 'openssh-key-v1\0'
const ED25519 = 'ssh-ed25519'
const BLOCK = 8

/** A new Ed25519 key in the private key format of OpenSSH (PROTOCOL.key in its sources). It never touches the disk. */
export function generateSshKey(system: System, comment: string): string {
  const { privateKey } = generateKeyPairSync('ed25519')
  const { d = '', x = '' } = privateKey.export({ format: 'jwk' })
  const [seed, point] = [Buffer.from(d, 'base64url'), Buffer.from(x, 'base64url')]
  const check = system.randomBytes(4)
  const secret = pad([
    check,
    check,
    sshString(ED25519),
    sshString(point),
    sshString(Buffer.concat([seed, point])),
    sshString(comment),
  ])
  const body = Buffer.concat([
    Buffer.from(MAGIC),
    // No cipher, no derivation, one key.
    ...['none', 'none', ''].map(sshString),
    Buffer.from([0, 0, 0, 1]),
    sshString(Buffer.concat([sshString(ED25519), sshString(point)])),
    sshString(secret),
  ])
  const lines = body.toString('base64').match(/.{1,70}/g) ?? []
  return ['-----BEGIN OPENSSH PRIVATE KEY-----', ...lines, '-----END OPENSSH PRIVATE KEY-----', ''].join('\n')
}

function sshString(value: string | Buffer): Buffer {
  const bytes = Buffer.from(value)
  const length = Buffer.alloc(4)
  length.writeUInt32BE(bytes.length)
  return Buffer.concat([length, bytes])
}

function pad(parts: readonly Buffer[]): Buffer {
  const bytes = Buffer.concat(parts)
  const missing = (BLOCK - (bytes.length % BLOCK)) % BLOCK
  return Buffer.concat([bytes, Buffer.from(Array.from({ length: missing }, (_, index) => index + 1))])
}
