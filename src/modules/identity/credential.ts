import { createHash, timingSafeEqual } from 'node:crypto'
import type { System } from '../../lib/system.ts'
import { TOKEN_PREFIXES } from '../../lib/token-prefix.ts'

export interface NewToken {
  /** Shown once. */
  plaintext: string
  /** What is stored. */
  hash: Buffer
  /** What lists show: enough to tell tokens apart, too little to guess one. */
  shown: string
}

/** Makes a token of 256 random bits. */
export function newToken(kind: 'admin' | 'session' | 'api', system: System): NewToken {
  const plaintext = `${TOKEN_PREFIXES[kind]}${system.randomBytes(32).toString('base64url')}`
  return { plaintext, hash: hashToken(plaintext), shown: plaintext.slice(0, TOKEN_PREFIXES[kind].length + 6) }
}

/** A token has 256 bits of its own, so a plain SHA-256 keeps it as safe as a slow hash would. */
export function hashToken(plaintext: string): Buffer {
  return createHash('sha256').update(plaintext).digest()
}

/** Compares in a time that says nothing about where they differ. */
export function sameHash(one: Buffer, other: Buffer): boolean {
  return one.length === other.length && timingSafeEqual(one, other)
}
