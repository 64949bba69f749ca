import { type FieldFault, readFieldLines } from './field-lines.ts'
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
  /** It says when it was made. */
  dated: boolean
}

/** Why a response is refused: a short name for logs and counters. Never shown to a client. */
export type ResponseFault =
  | 'status_line'
  | FieldFault
  | 'header_size'
  | 'content_length'
  | 'transfer_encoding'
  | 'chunk_size'
  | 'chunk_extension'
  | 'chunk_end'
  | 'trailer'
  | 'informational'
  | 'truncated'
  | 'unexpected_upgrade'

const TAB = 0x09
const SPACE = 0x20
const DEL = 0x7f

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
  // There are no others (RFC 9110, section 15), and HTTP/2 cannot pass them on.
  if (status < 100 || status > 599) return 'status_line'
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
    dated: false,
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
  const all: string[] = []
  const fault = readFieldLines(text, start, end, maxHeaders, all)
  if (fault !== undefined) return fault
  const named: string[] = []
  for (let index = 0; index < all.length; index += 2) {
    const name = all[index] as string
    const wrong = takeField(head, headerKind(name), name, all[index + 1] as string, named)
    if (wrong !== undefined) return wrong
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
      if (name.length === 4 && name.toLowerCase() === 'date') head.dated = true
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

/**
 * Parses the trailer section of a chunked body, `text` up to and with its empty line, into names and values. Fields that would frame a
 * message come too late: they are left out, or refused with `strict`, because one who heeds them sees another message.
 */
export function parseTrailers(text: string, maxHeaders: number, strict: boolean): string[] | ResponseFault {
  const head = emptyHead(200, '', true)
  const fault = parseFields(text, 0, text.length, head, maxHeaders)
  if (fault !== undefined || (strict && (head.contentLength !== -1 || head.chunked))) return 'trailer'
  return plainFields(head.headers)
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
