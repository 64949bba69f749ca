import type { IngressLimits } from '../contract/limits.ts'
import type { Peer } from '../connections/peer.ts'
import {
  type Fields,
  isHost,
  readFields,
  type RequestHead,
  type RequestManner,
  type RequestTarget,
  writeHead,
} from '../messages/request-head.ts'

const COLON = 0x3a
const NONE: readonly string[] = []
const METHOD = /^[A-Z][A-Z_-]{0,31}$/
/** Visible ASCII: whatever else there could be is read in different ways by different servers. No fragment (RFC 9113, section 8.3.1). */
const PATH = /^\/[!"$-~]*$/
/** What would end a line of HTTP/1, or a value in the eyes of some servers. */
// oxlint-disable-next-line no-control-regex
const UNSAFE = /[\0-\x08\x0a-\x1f\x7f]/
/** Token characters without capitals (RFC 9113, section 8.2.1). */
const NAME = /^[!#$%&'*+\-.^_`|~0-9a-z]+$/

const GRPC = /^application\/grpc(?:[+;]|$)/i

interface Pseudo {
  method: string
  path: string
  authority: string | undefined
  /** What an extended CONNECT asks for (RFC 8441, section 4). */
  protocol: string | undefined
}

/**
 * Checks a request that came by HTTP/2 and writes the header section for the application, which gets it by HTTP/1. A number is the
 * status to answer with instead. nghttp2 has refused most of what could be refused here; this does not rely on it.
 */
export function readHttp2Head(
  raw: readonly string[],
  endsWithHeaders: boolean,
  peer: Peer,
  limits: IngressLimits,
  newRequestId: () => string,
  webSocketKey: string,
): RequestHead | number {
  if (raw.length > limits.request_header_count * 2) return 431
  const { pseudo, fields: plain, faulty } = split(raw)
  if (faulty) return 400
  const fields = readFields(plain, peer.trusted, NONE)
  if (typeof fields === 'number') return fields
  // Connection and Transfer-Encoding do not exist in HTTP/2 (RFC 9113, section 8.2.2).
  if (fields.named.length > 0 || fields.chunked) return 400
  const { method, path, authority = fields.host } = pseudo
  if (pseudo.protocol !== undefined && method !== 'CONNECT') return 400
  const tunnels = pseudo.protocol !== undefined
  if (method === 'TRACE' || (method === 'CONNECT' && !tunnels)) return 405
  if (path.length > limits.request_target_bytes) return 414
  const pathFits = path === '*' ? method === 'OPTIONS' : PATH.test(path)
  if (!METHOD.test(method) || !pathFits || !isHost(authority)) return 400
  // Two names for one request are two readings of it (RFC 9113, section 8.3.1).
  if (fields.host !== undefined && fields.host.toLowerCase() !== authority.toLowerCase()) return 400
  if (tunnels)
    return readTunnel(
      pseudo,
      fields,
      { path, host: authority },
      endsWithHeaders,
      peer,
      newRequestId,
      webSocketKey,
    )
  if (endsWithHeaders && fields.length > 0) return 400
  fields.chunked = !endsWithHeaders && fields.length === -1
  const manner: RequestManner = { expectsContinue: fields.expects && !endsWithHeaders, upgrades: false }
  const head = writeHead(fields, method, { path, host: authority }, peer, manner, newRequestId)
  head.grpc = isGrpc(method, plain)
  return head
}

/** The request to upgrade that an application of HTTP/1 gets (RFC 8441, section 5): the handshake with it is ours. */
function readTunnel(
  { protocol }: Pseudo,
  fields: Fields,
  target: RequestTarget,
  endsWithHeaders: boolean,
  peer: Peer,
  newRequestId: () => string,
  webSocketKey: string,
): RequestHead | number {
  // As by HTTP/1: any other protocol would be a tunnel around every rule of this proxy.
  if (protocol !== 'websocket') return 501
  if (endsWithHeaders || fields.length !== -1 || fields.expects) return 400
  fields.lines += `Sec-WebSocket-Key: ${webSocketKey}\r\n`
  return writeHead(fields, 'GET', target, peer, { expectsContinue: false, upgrades: true }, newRequestId)
}

/** gRPC-Web is plain HTTP to whoever carries it. */
function isGrpc(method: string, fields: readonly string[]): boolean {
  if (method !== 'POST') return false
  const at = fields.indexOf('content-type')
  return at !== -1 && at % 2 === 0 && GRPC.test(fields[at + 1] as string)
}

/** Takes pseudo fields and ordinary ones apart; cookies that came in pieces are one field again (RFC 9113, section 8.2.3). */
function split(raw: readonly string[]): { pseudo: Pseudo; fields: string[]; faulty: boolean } {
  const pseudo: Pseudo = { method: '', path: '', authority: undefined, protocol: undefined }
  const fields: string[] = []
  let cookie = ''
  let faulty = false
  for (let index = 0; index < raw.length; index += 2) {
    const name = raw[index] as string
    const value = raw[index + 1] as string
    if (UNSAFE.test(value)) faulty = true
    if (name.charCodeAt(0) === COLON) takePseudo(pseudo, name, value)
    else if (name === 'cookie') cookie = cookie === '' ? value : `${cookie}; ${value}`
    // The one that the application gets is ours.
    else if (name === 'sec-websocket-key' && pseudo.protocol !== undefined) continue
    else if (NAME.test(name)) fields.push(name, value)
    else faulty = true
  }
  if (cookie !== '') fields.push('cookie', cookie)
  return { pseudo, fields, faulty }
}

function takePseudo(pseudo: Pseudo, name: string, value: string): void {
  if (name === ':method') pseudo.method = value
  else if (name === ':path') pseudo.path = value
  else if (name === ':authority') pseudo.authority = value
  else if (name === ':protocol') pseudo.protocol = value
}
