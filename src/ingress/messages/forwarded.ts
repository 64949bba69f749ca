/** What a request says about those who passed it on before, as far as its peer is trusted to say so. */
export interface ForwardedClaims {
  forwarded: string
  forwardedFor: string
  proto: string
  host: string
}

export const NO_CLAIMS: ForwardedClaims = { forwarded: '', forwardedFor: '', proto: '', host: '' }

/**
 * The header lines that tell the application who the client is (RFC 7239 and the older X-Forwarded family). `address` is the
 * peer's; claims of a trusted peer are kept in front of it.
 */
export function forwardedLines(
  { address, secure }: { address: string; secure: boolean },
  host: string,
  claims: ForwardedClaims,
): string {
  const proto = claimsScheme(claims) ?? (secure ? 'https' : 'http')
  const chain = claims.forwardedFor === '' ? address : `${claims.forwardedFor}, ${address}`
  const element = `for=${forwardedNode(address)};host=${forwardedValue(host)};proto=${proto}`
  const forwarded = claims.forwarded === '' ? element : `${claims.forwarded}, ${element}`
  const publicHost = claims.host === '' ? host : claims.host
  return (
    `X-Forwarded-For: ${chain}\r\nX-Forwarded-Proto: ${proto}\r\n` +
    `X-Forwarded-Host: ${publicHost}\r\nForwarded: ${forwarded}\r\n`
  )
}

/** The scheme that a trusted peer says the client used, if it says one. */
export function claimsScheme({ proto }: ForwardedClaims): 'https' | 'http' | undefined {
  return proto === 'https' || proto === 'http' ? proto : undefined
}

/** RFC 7239, section 6: an IPv6 address stands in brackets and therefore in quotes. */
function forwardedNode(address: string): string {
  return address.includes(':') ? `"[${address}]"` : address
}

/** The host has been checked to hold no quote and no backslash. */
function forwardedValue(host: string): string {
  return host.includes(':') ? `"${host}"` : host
}

/** IPv4 addresses that arrive on an IPv6 socket are written as what they are. */
export function plainAddress(address: string): string {
  return address.startsWith('::ffff:') && address.includes('.') ? address.slice(7) : address
}

const WITH_PORT = /^(?:\[([0-9A-Fa-f:.]+)\]|(\d{1,3}(?:\.\d{1,3}){3}))(?::\d{1,5})?$/

/** An address as proxies write it into X-Forwarded-For, some of them in brackets or with a port; anything else stays what it is. */
export function namedAddress(text: string): string {
  const [, bracketed, plain] = WITH_PORT.exec(text) ?? []
  return plainAddress(bracketed ?? plain ?? text)
}
