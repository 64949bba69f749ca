import { createHmac, timingSafeEqual } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { writeDurableFile } from '../../lib/durable-file.ts'
import { systemCodeOf } from '../../lib/errors.ts'
import type { System } from '../../lib/system.ts'
import { TOKEN_PREFIXES } from '../../lib/token-prefix.ts'
import type { Principal } from '../identity/principal.ts'
import type { RegistryAction } from './caller.ts'

/** What a registry token says. Whoever holds it need not be looked up to pull. */
export interface TokenClaims {
  kind: 'access' | 'refresh'
  /** Null: Berth itself, for what an engine does in its name. */
  principal: Principal | null
  /** Of Berth's own: good only while this service is there. */
  service_id?: string
  /** For records: who it is. */
  name: string
  /** What may be done with which repository, and with their list; of a refresh token nothing. */
  grants: Record<string, readonly RegistryAction[]>
  /** Seconds since the epoch. */
  expires: number
  /** When it was last known that the principal may do this: the start of the daemon and the access revision. */
  epoch: string
}

export interface TokenSigner {
  sign(claims: TokenClaims): string
  /** The claims of a token that we signed and that has not expired. */
  read(token: string, nowMs: number): TokenClaims | undefined
}

export const SIGNED_PREFIX = TOKEN_PREFIXES.registry
const KEY_BYTES = 32
const MAX_REMEMBERED = 2000

/** Reads the key that signs tokens, or makes it: tokens outlive a restart. */
export async function ensureSigningKey(path: string, system: System): Promise<Buffer> {
  try {
    const key = await readFile(path)
    if (key.length !== KEY_BYTES) throw new Error(`${path} does not hold ${KEY_BYTES} bytes`)
    return key
  } catch (error) {
    if (systemCodeOf(error) !== 'ENOENT') throw error
    const key = system.randomBytes(KEY_BYTES)
    await writeDurableFile(path, key)
    return key
  }
}

export function createTokenSigner(key: Buffer): TokenSigner {
  /** Claims of tokens that were verified, the oldest first. */
  const known = new Map<string, TokenClaims>()
  const mac = (payload: string): Buffer => createHmac('sha256', key).update(payload).digest()

  const verify = (token: string): TokenClaims | undefined => {
    const [payload = '', signature = '', ...rest] = token.slice(SIGNED_PREFIX.length).split('.')
    const given = Buffer.from(signature, 'base64url')
    const expected = mac(payload)
    if (rest.length > 0 || given.length !== expected.length || !timingSafeEqual(given, expected))
      return undefined
    return JSON.parse(Buffer.from(payload, 'base64url').toString()) as TokenClaims
  }

  return {
    sign: (claims) => {
      const payload = Buffer.from(JSON.stringify(claims)).toString('base64url')
      return `${SIGNED_PREFIX}${payload}.${mac(payload).toString('base64url')}`
    },
    read: (token, nowMs) => {
      if (!token.startsWith(SIGNED_PREFIX)) return undefined
      let claims = known.get(token)
      if (!claims) {
        claims = verify(token)
        if (!claims) return undefined
        known.set(token, claims)
        const oldest = known.keys().next().value
        if (known.size > MAX_REMEMBERED && oldest !== undefined) known.delete(oldest)
      }
      return claims.expires * 1000 > nowMs ? claims : undefined
    },
  }
}
