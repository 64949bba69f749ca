import { hash } from 'node:crypto'
import { algorithmOf, type DigestAlgorithm } from './registry-path.ts'

/** The digest of bytes that are in memory: `sha256:...`. For small ones; large ones are the hash threads' work. */
export function digestOf(algorithm: DigestAlgorithm, content: Buffer): string {
  return `${algorithm}:${hash(algorithm, content, 'hex')}`
}

export function matchesDigest(digest: string, content: Buffer): boolean {
  return digestOf(algorithmOf(digest), content) === digest
}
