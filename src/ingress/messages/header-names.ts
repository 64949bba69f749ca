/** What a proxy has to do with a header field, decided by its name alone. */
export const HeaderKind = {
  plain: 0,
  /** Hop-by-hop or meant for a proxy (RFC 9110, section 7.6.1): never passed on. */
  hop: 1,
  connection: 2,
  contentLength: 3,
  transferEncoding: 4,
  host: 5,
  upgrade: 6,
  te: 7,
  trailer: 8,
  expect: 9,
  keepAlive: 10,
  requestId: 11,
  forwarded: 12,
  forwardedFor: 13,
  forwardedProto: 14,
  forwardedHost: 15,
  /** Other claims about the client that applications believe: passed on from a trusted peer only. */
  forwardedOther: 16,
  /** A spelling of the above with underscores, which CGI-like servers cannot tell from it: never passed on. */
  disguised: 17,
} as const

export type HeaderKind = (typeof HeaderKind)[keyof typeof HeaderKind]

const KINDS: ReadonlyMap<string, HeaderKind> = new Map<string, HeaderKind>([
  ['connection', HeaderKind.connection],
  ['content-length', HeaderKind.contentLength],
  ['transfer-encoding', HeaderKind.transferEncoding],
  ['host', HeaderKind.host],
  ['upgrade', HeaderKind.upgrade],
  ['te', HeaderKind.te],
  ['trailer', HeaderKind.trailer],
  ['expect', HeaderKind.expect],
  ['keep-alive', HeaderKind.keepAlive],
  ['proxy-connection', HeaderKind.hop],
  ['proxy-authenticate', HeaderKind.hop],
  ['proxy-authorization', HeaderKind.hop],
  ['http2-settings', HeaderKind.hop],
  ['x-request-id', HeaderKind.requestId],
  ['forwarded', HeaderKind.forwarded],
  ['x-forwarded-for', HeaderKind.forwardedFor],
  ['x-forwarded-proto', HeaderKind.forwardedProto],
  ['x-forwarded-host', HeaderKind.forwardedHost],
  ['x-real-ip', HeaderKind.forwardedOther],
  ['x-client-ip', HeaderKind.forwardedOther],
  ['true-client-ip', HeaderKind.forwardedOther],
])

const CACHE_ENTRIES = 1024
const CACHED_NAME_LENGTH = 64
const cache = new Map<string, HeaderKind>()

/** The kind of a header field by its name in any case. */
export function headerKind(name: string): HeaderKind {
  return cache.get(name) ?? remember(name)
}

function remember(name: string): HeaderKind {
  const kind = classify(name.toLowerCase())
  if (cache.size < CACHE_ENTRIES && name.length <= CACHED_NAME_LENGTH) {
    // A copy: the name may be a slice that would keep a whole header section in memory.
    cache.set(Buffer.from(name, 'latin1').toString('latin1'), kind)
  }
  return kind
}

function classify(name: string): HeaderKind {
  const known = KINDS.get(name)
  if (known !== undefined) return known
  if (name.startsWith('x-forwarded-')) return HeaderKind.forwardedOther
  if (!name.includes('_')) return HeaderKind.plain
  return classify(name.replaceAll('_', '-')) === HeaderKind.plain ? HeaderKind.plain : HeaderKind.disguised
}

/** True when the comma-separated list `value` holds `token` (lower case). */
export function listHas(value: string, token: string): boolean {
  if (value.length === token.length) return value.toLowerCase() === token
  return listTokens(value).includes(token)
}

/** The members of a comma-separated list, in lower case, without empty ones (RFC 9110, section 5.6.1). */
export function listTokens(value: string): string[] {
  return value
    .toLowerCase()
    .split(',')
    .map((token) => token.trim())
    .filter((token) => token !== '')
}

/** Drops the fields named in `Connection` from a flat list of names and values, except those that frame the message. */
export function withoutNamed(headers: string[], named: readonly string[]): string[] {
  const kept: string[] = []
  for (let index = 0; index < headers.length; index += 2) {
    const name = headers[index] as string
    if (!named.includes(name.toLowerCase())) kept.push(name, headers[index + 1] as string)
  }
  return kept
}
