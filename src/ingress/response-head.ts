import { HeaderKind, headerKind, listTokens, withoutNamed } from './header-names.ts'

/** The header section of an upstream's response, checked, without what belongs to the connection. */
export interface ResponseHead {
  status: number
  reason: string
  /** Names and values in turn, as the application spelled them; neither framing nor hop-by-hop fields. */
  headers: string[]
  /** -1: the response names none. */
  contentLength: number
  chunked: boolean
  /** The upstream lets the connection be used again. */
  reusable: boolean
  /** How long the upstream says it keeps the idle connection; -1 when it does not say. */
  keepAliveMs: number
  /** The protocol of a 101, lower case; empty when there is none. */
  upgrade: string
  /** The Trailer field's value; empty when there is none. */
  trailer: string
}

/** Why a response is refused: a short name for logs and counters. Never shown to a client. */
export type ResponseFault =
  | 'status_line'
  | 'header_name'
  | 'header_value'
  | 'line_ending'
  | 'header_size'
  | 'header_count'
  | 'content_length'
  | 'framing_blank'
  | 'transfer_encoding'
  | 'chunk_size'
  | 'chunk_extension'
  | 'chunk_end'
  | 'trailer'
  | 'informational'
  | 'truncated'
  | 'unexpected_upgrade'

const TAB = 0x09
const LF = 0x0a
const CR = 0x0d
const SPACE = 0x20
const COLON = 0x3a
const DEL = 0x7f

/** tchar of RFC 9110, section 5.6.2. */
const TOKEN = new Uint8Array(256)
for (const char of "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") {
  TOKEN[char.charCodeAt(0)] = 1
}

/**
 * Parses a whole header section: `text` from its start to `end`, the index just behind the empty line. Strict where a lenient
 * reading could let two parties disagree about where a message ends (RFC 9112, sections 2.2, 5 and 6.3).
 */
export function parseResponseHead(
  text: string,
  end: number,
  maxHeaders: number,
): ResponseHead | ResponseFault {
  if (!text.startsWith('HTTP/1.') || text.charCodeAt(8) !== SPACE) return 'status_line'
  const minor = text.charCodeAt(7) - 48
  if (minor !== 0 && minor !== 1) return 'status_line'
  const status = threeDigits(text, 9)
  if (status < 100) return 'status_line'
  const lineEnd = text.indexOf('\r\n')
  const reason = parseReason(text, lineEnd)
  if (reason === undefined) return 'status_line'
  const head = emptyHead(status, reason, minor === 1)
  const fault = parseFields(text, lineEnd + 2, end, head, maxHeaders)
  if (fault !== undefined) return fault
  // RFC 9112, section 6.3: a message with both is an attempt at smuggling or an error; 1.0 knows no chunks (section 6.1).
  if (head.chunked && (head.contentLength !== -1 || minor === 0)) return 'transfer_encoding'
  return head
}

function emptyHead(status: number, reason: string, reusable: boolean): ResponseHead {
  return {
    status,
    reason,
    headers: [],
    contentLength: -1,
    chunked: false,
    reusable,
    keepAliveMs: -1,
    upgrade: '',
    trailer: '',
  }
}

function threeDigits(text: string, at: number): number {
  const a = text.charCodeAt(at) - 48
  const b = text.charCodeAt(at + 1) - 48
  const c = text.charCodeAt(at + 2) - 48
  return a >= 1 && a <= 9 && b >= 0 && b <= 9 && c >= 0 && c <= 9 ? a * 100 + b * 10 + c : -1
}

function parseReason(text: string, lineEnd: number): string | undefined {
  if (lineEnd === 12) return ''
  if (text.charCodeAt(12) !== SPACE) return undefined
  for (let index = 13; index < lineEnd; index += 1) {
    const code = text.charCodeAt(index)
    if ((code < SPACE && code !== TAB) || code === DEL) return undefined
  }
  return text.slice(13, lineEnd)
}

function parseFields(
  text: string,
  start: number,
  end: number,
  head: ResponseHead,
  maxHeaders: number,
): ResponseFault | undefined {
  const named: string[] = []
  const last = end - 2
  let at = start
  let count = 0
  while (at < last) {
    count += 1
    if (count > maxHeaders) return 'header_count'
    let colon = at
    while (TOKEN[text.charCodeAt(colon)] === 1) colon += 1
    if (colon === at || text.charCodeAt(colon) !== COLON) return 'header_name'
    const name = text.slice(at, colon)
    let from = colon + 1
    let code = text.charCodeAt(from)
    while (code === SPACE || code === TAB) code = text.charCodeAt((from += 1))
    let to = from
    while (code !== CR) {
      if ((code < SPACE && code !== TAB) || code === DEL) return code === LF ? 'line_ending' : 'header_value'
      code = text.charCodeAt((to += 1))
    }
    if (text.charCodeAt(to + 1) !== LF) return 'line_ending'
    at = to + 2
    code = text.charCodeAt(to - 1)
    while (to > from && (code === SPACE || code === TAB)) code = text.charCodeAt((to -= 1) - 1)
    const kind = headerKind(name)
    // Some parsers do not take a tab for a blank around these values, so that they would see another framing.
    const frames = kind === HeaderKind.contentLength || kind === HeaderKind.transferEncoding
    if (frames && text.slice(colon, at).includes('\t')) return 'framing_blank'
    const fault = takeField(head, kind, name, text.slice(from, to), named)
    if (fault !== undefined) return fault
  }
  if (named.length > 0) head.headers = withoutNamed(head.headers, named)
  return undefined
}

function takeField(
  head: ResponseHead,
  kind: HeaderKind,
  name: string,
  value: string,
  named: string[],
): ResponseFault | undefined {
  switch (kind) {
    case HeaderKind.contentLength:
      if (head.contentLength !== -1) return 'content_length'
      head.contentLength = parseLength(value)
      return head.contentLength === -1 ? 'content_length' : undefined
    case HeaderKind.transferEncoding:
      if (head.chunked || value.toLowerCase() !== 'chunked') return 'transfer_encoding'
      head.chunked = true
      return undefined
    case HeaderKind.connection:
      takeConnection(head, value, named)
      return undefined
    case HeaderKind.keepAlive:
      head.keepAliveMs = keepAliveHint(value)
      return undefined
    case HeaderKind.upgrade:
      head.upgrade = value.toLowerCase()
      return undefined
    case HeaderKind.trailer:
      head.trailer = head.trailer === '' ? value : `${head.trailer}, ${value}`
      return undefined
    case HeaderKind.hop:
    case HeaderKind.te:
      return undefined
    default:
      head.headers.push(name, value)
      return undefined
  }
}

function takeConnection(head: ResponseHead, value: string, named: string[]): void {
  for (const token of value === 'keep-alive' ? KEEP_ALIVE : listTokens(value)) {
    if (token !== 'keep-alive') named.push(token)
    if (token === 'close') head.reusable = false
    // `close` wins in whatever order they come (RFC 9112, section 9.3).
    else if (token === 'keep-alive' && !named.includes('close')) head.reusable = true
  }
}

const KEEP_ALIVE: readonly string[] = ['keep-alive']

/** The value of a Content-Length field, or -1 when it is not a plain decimal number that a double holds exactly. */
export function parseLength(value: string): number {
  if (value.length === 0 || value.length > 15) return -1
  let length = 0
  for (let index = 0; index < value.length; index += 1) {
    const digit = value.charCodeAt(index) - 48
    if (digit < 0 || digit > 9) return -1
    length = length * 10 + digit
  }
  return length
}

const REMEMBERED_HINT_LENGTH = 64
let lastHint = ''
let lastHintMs = -1

/** Applications send the same value with every response, so the last one is remembered. */
function keepAliveHint(value: string): number {
  if (value === lastHint) return lastHintMs
  const seconds = /(?:^|[\s,])timeout=(\d{1,6})/i.exec(value)?.[1]
  const ms = seconds === undefined ? -1 : Number(seconds) * 1000
  if (value.length <= REMEMBERED_HINT_LENGTH) {
    // A copy: the value is a slice that would keep its whole header section in memory.
    lastHint = Buffer.from(value, 'latin1').toString('latin1')
    lastHintMs = ms
  }
  return ms
}

/** Parses the trailer section of a chunked body, `text` up to and with its empty line, into names and values. */
export function parseTrailers(text: string, maxHeaders: number): string[] | ResponseFault {
  const head = emptyHead(200, '', true)
  const fault = parseFields(text, 0, text.length, head, maxHeaders)
  return fault === undefined ? plainFields(head.headers) : 'trailer'
}

/** Only fields that neither frame nor route a message may travel as trailers (RFC 9110, section 6.5.1). */
export function plainFields(headers: readonly string[]): string[] {
  const kept: string[] = []
  for (let index = 0; index < headers.length; index += 2) {
    const name = headers[index] as string
    if (headerKind(name) === HeaderKind.plain) kept.push(name, headers[index + 1] as string)
  }
  return kept
}
