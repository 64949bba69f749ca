import { isIP } from 'node:net'
import type { PlainHead } from './request-head.ts'

/** Who asks, and for what origin. */
export interface Claims {
  readonly clientAddress: string
  readonly protocol: 'http' | 'https'
  readonly host: string
}

/**
 * Of a connection with an address: that address. One without came through the ingress (`ingress-door.ts`), which says whom it speaks for and takes such
 * fields from everyone else. Undefined when they are more than one client's: the framework reads those.
 */
export function readClaims({ headers }: PlainHead, address: string | undefined): Claims | undefined {
  const host = headers.get('host') ?? ''
  if (address !== undefined) return { clientAddress: address, protocol: 'http', host }
  const clientAddress = headers.get('x-forwarded-for') ?? ''
  const protocol = headers.get('x-forwarded-proto')
  if (isIP(clientAddress) === 0 || (protocol !== 'http' && protocol !== 'https')) return undefined
  return { clientAddress, protocol, host: headers.get('x-forwarded-host') ?? host }
}
