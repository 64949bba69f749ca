import { claimsScheme, type ForwardedClaims, NO_CLAIMS } from './forwarded.ts'
import { HeaderKind, headerKind, listHas, listTokens } from './header-names.ts'
import type { IngressLimits } from '../contract/limits.ts'
import type { CompiledRules } from '../rules/compiled-rules.ts'
import type { Peer } from '../connections/peer.ts'
import type { RawRequest } from './request-parser.ts'
import { parseLength } from './response-head.ts'

/** A request that may be passed on: what the proxy needs to know of it, and the bytes for the application. */
export interface RequestHead {
  hostname: string
  /** Under which its route is looked up: its hostname, unless a rule leads it to another service. */
  routeName: string
  /** Of its route, if there are any. */
  rules: CompiledRules | undefined
  method: string
  /** With its query; `*` for a server as a whole. */
  path: string
  /** The client speaks TLS, to us or to a trusted peer. */
  secure: boolean
  /** Of the client as far as it can be known: the peer, or whom a trusted peer names. */
  clientAddress: string
  requestId: string
  /** May be sent a second time when nothing came back (RFC 9110, section 9.2.2). */
  idempotent: boolean
  isHead: boolean
  body: 'none' | 'length' | 'chunked'
  /** Of the body; -1 when the request names none. */
  length: number
  expectsContinue: boolean
  /** The client would send its next request on the same connection. */
  persistent: boolean
  /** It is a gRPC call by HTTP/2, and goes to the application by HTTP/2. */
  grpc: boolean
  /** The whole header section with its empty line. */
  text: string
}

/** How a request came in, as far as it changes what is passed on. */
export interface RequestManner {
  expectsContinue: boolean
  upgrades: boolean
}

const IDEMPOTENT: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE'])
const HOST = /^(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?$/
const ABSOLUTE_FORM = /^(https?):\/\/([^/?#]*)(.*)$/is
const SLASH = 0x2f
const REQUEST_ID = /^[A-Za-z0-9._~:+/=-]{1,128}$/

/** What the header fields say, gathered in one pass. */
export interface Fields {
  /** The lines that are passed on as they are. */
  lines: string
  host: string | undefined
  length: number
  chunked: boolean
  named: readonly string[]
  trailers: string
  takesTrailers: boolean
  /** The client waits for a 100 before it sends the body. */
  expects: boolean
  /** It expects something that nobody knows (RFC 9110, section 10.1.1). */
  expectsOther: boolean
  closes: boolean
  keepsAlive: boolean
  requestId: string
  claims: ForwardedClaims
}

/**
 * Checks a request of HTTP/1 and writes the header section for the application. A number is the status to answer with instead: what two
 * parties could read in two ways is refused here, as far as `parseRequest` has not done so.
 */
export function readRequestHead(
  request: RawRequest,
  peer: Peer,
  upgrades: boolean,
  limits: IngressLimits,
  newRequestId: () => string,
): RequestHead | number {
  const { method, target: url, minor, fields: raw } = request
  let fields = readFields(raw, peer.trusted, NONE)
  if (typeof fields === 'number') return fields
  if (fields.named.length > 0) fields = readFields(raw, peer.trusted, fields.named) as Fields
  // RFC 9112, section 6.1: a 1.0 message with a transfer coding has faulty framing. A length beside it is refused everywhere.
  if (fields.chunked && (fields.length !== -1 || minor === 0)) return 400
  if (method === 'TRACE' || method === 'CONNECT') return 405
  // A 1.0 client knows of no expectations (RFC 9110, section 10.1.1).
  if (fields.expectsOther && minor === 1) return 417
  const target = readTarget(url, method, fields.host, peer.secure, limits)
  if (typeof target === 'number') return target
  const head = writeHead(
    fields,
    method,
    target,
    peer,
    { expectsContinue: fields.expects && minor === 1, upgrades },
    newRequestId,
  )
  head.persistent = !fields.closes && (minor === 1 || fields.keepsAlive)
  return head
}

/** Where a request goes: the path with its query, and the host that it names. */
export interface RequestTarget {
  path: string
  host: string
}

/** Writes the header section for the application; everything in it has been checked. */
export function writeHead(
  fields: Fields,
  method: string,
  target: RequestTarget,
  peer: Peer,
  manner: RequestManner,
  newRequestId: () => string,
): RequestHead {
  const { claims } = fields
  const requestId = fields.requestId === '' ? newRequestId() : fields.requestId
  const text =
    `${method} ${target.path} HTTP/1.1\r\nHost: ${target.host}\r\n${fields.lines}` +
    connectionLines(fields, manner) +
    peer.forwardedLines(target.host, claims) +
    `X-Request-Id: ${requestId}\r\n\r\n`
  const hostname = hostnameOf(target.host)
  return {
    hostname,
    routeName: hostname,
    rules: undefined,
    method,
    path: target.path,
    secure: (claimsScheme(claims) ?? (peer.secure ? 'https' : 'http')) === 'https',
    clientAddress: claims === NO_CLAIMS ? peer.address : peer.clientAddress(claims),
    requestId,
    idempotent: IDEMPOTENT.has(method),
    isHead: method === 'HEAD',
    body: fields.chunked ? 'chunked' : fields.length > 0 ? 'length' : 'none',
    length: fields.length,
    expectsContinue: manner.expectsContinue,
    persistent: true,
    grpc: false,
    text,
  }
}

/** `dropped` holds the fields that `Connection` names: they were meant for this hop only. */
export function readFields(
  raw: readonly string[],
  trusted: boolean,
  dropped: readonly string[],
): Fields | number {
  const fields: Fields = {
    lines: '',
    host: undefined,
    length: -1,
    chunked: false,
    named: NONE,
    trailers: '',
    takesTrailers: false,
    expects: false,
    expectsOther: false,
    closes: false,
    keepsAlive: false,
    requestId: '',
    claims: NO_CLAIMS,
  }
  for (let index = 0; index < raw.length; index += 2) {
    const name = raw[index] as string
    const value = raw[index + 1] as string
    const kind = headerKind(name)
    if (kind === HeaderKind.plain) {
      if (dropped.length === 0 || !dropped.includes(name.toLowerCase()))
        fields.lines += `${name}: ${value}\r\n`
    } else {
      const fault = takeField(fields, kind, name, value, trusted)
      if (fault !== 0) return fault
    }
  }
  return fields
}

const NONE: readonly string[] = []

function takeField(fields: Fields, kind: HeaderKind, name: string, value: string, trusted: boolean): number {
  switch (kind) {
    case HeaderKind.host:
      if (fields.host !== undefined) return 400
      fields.host = value
      return 0
    case HeaderKind.contentLength:
      if (fields.length !== -1) return 400
      fields.length = parseLength(value)
      return fields.length === -1 ? 400 : 0
    case HeaderKind.transferEncoding:
      // Other codings would have to be undone by an application that expects plain bytes.
      if (fields.chunked || value.toLowerCase() !== 'chunked') return 400
      fields.chunked = true
      return 0
    case HeaderKind.connection:
      takeConnection(fields, value)
      return 0
    case HeaderKind.te:
      fields.takesTrailers ||= listHas(value, 'trailers')
      return 0
    case HeaderKind.trailer:
      fields.trailers = fields.trailers === '' ? value : `${fields.trailers}, ${value}`
      return 0
    case HeaderKind.expect:
      if (value.toLowerCase() === '100-continue') fields.expects = true
      else fields.expectsOther = true
      return 0
    case HeaderKind.requestId:
      if (REQUEST_ID.test(value)) fields.requestId = value
      return 0
    default:
      if (trusted) takeClaim(fields, kind, name, value)
      return 0
  }
}

function takeConnection(fields: Fields, value: string): void {
  const tokens = value === 'keep-alive' ? KEEP_ALIVE : listTokens(value)
  if (tokens.includes('close')) fields.closes = true
  if (tokens.includes('keep-alive')) fields.keepsAlive = true
  if (tokens !== KEEP_ALIVE && value !== 'close') fields.named = [...fields.named, ...tokens]
}

const KEEP_ALIVE: readonly string[] = ['keep-alive']

function takeClaim(fields: Fields, kind: HeaderKind, name: string, value: string): void {
  if (fields.claims === NO_CLAIMS) fields.claims = { ...NO_CLAIMS }
  const { claims } = fields
  if (kind === HeaderKind.forwarded) claims.forwarded = joined(claims.forwarded, value)
  else if (kind === HeaderKind.forwardedFor) claims.forwardedFor = joined(claims.forwardedFor, value)
  else if (kind === HeaderKind.forwardedProto) claims.proto = value.toLowerCase()
  else if (kind === HeaderKind.forwardedHost) claims.host = value
  else if (kind === HeaderKind.forwardedOther) fields.lines += `${name}: ${value}\r\n`
}

function joined(before: string, value: string): string {
  return before === '' ? value : `${before}, ${value}`
}

/** The fields that this hop writes itself. */
function connectionLines(fields: Fields, manner: RequestManner): string {
  let lines = ''
  if (fields.chunked) lines += 'Transfer-Encoding: chunked\r\n'
  else if (fields.length !== -1) lines += `Content-Length: ${fields.length}\r\n`
  if (fields.trailers !== '' && fields.chunked) lines += `Trailer: ${fields.trailers}\r\n`
  if (manner.expectsContinue) lines += 'Expect: 100-continue\r\n'
  if (manner.upgrades) return `${lines}Connection: Upgrade\r\nUpgrade: websocket\r\n`
  if (fields.takesTrailers) return `${lines}Connection: TE\r\nTE: trailers\r\n`
  return lines
}

/** The target in the form that an application gets, and the host that it names (RFC 9112, section 3.2). */
function readTarget(
  url: string,
  method: string,
  host: string | undefined,
  secure: boolean,
  limits: IngressLimits,
): RequestTarget | number {
  if (url.length > limits.request_target_bytes) return 414
  let path = url
  let authority = host
  if (url.charCodeAt(0) !== SLASH && !(url === '*' && method === 'OPTIONS')) {
    const absolute = ABSOLUTE_FORM.exec(url)
    if (absolute?.[1]?.toLowerCase() !== (secure ? 'https' : 'http')) return 400
    // The target's authority counts, whatever the Host field says (RFC 9112, section 3.2.2).
    const [, , named = '', rest = ''] = absolute
    authority = named
    // RFC 9112, section 3.2.4.
    if (rest === '' && method === 'OPTIONS') path = '*'
    else path = rest.startsWith('/') ? rest : `/${rest}`
  }
  return isHost(authority) ? { path, host: authority } : 400
}

/** True for a host name or address with or without a port, as it may stand in a Host field (RFC 9110, section 7.2). */
export function isHost(value: string | undefined): value is string {
  return value !== undefined && HOST.test(value)
}

/** The name under which a host is looked up: lower case, without port and trailing dot. */
export function hostnameOf(host: string): string {
  const port = host.lastIndexOf(':')
  const name = port === -1 || host.endsWith(']') ? host : host.slice(0, port)
  return (name.endsWith('.') ? name.slice(0, -1) : name).toLowerCase()
}
