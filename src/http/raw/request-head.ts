/** A request that can be understood in one way only, and that needs nothing of HTTP but a body of a known kind and an answer. */
export interface PlainHead {
  readonly method: string
  /** Path and query as they came. */
  readonly url: string
  /** By lower-case name; no name came twice. */
  readonly headers: ReadonlyMap<string, string>
  readonly body: 'none' | 'chunked' | number
  readonly closes: boolean
  readonly expectsContinue: boolean
}

/** As long as Node's own limit. */
export const MAX_HEAD_BYTES = 16 * 1024
const MAX_FIELDS = 100

/** RFC 9112, section 3: the line as every sane client writes it. */
const REQUEST_LINE = /^(GET|HEAD|POST|PUT|PATCH|DELETE) (\/[\x21-\x7e]*) HTTP\/1\.1$/
/** RFC 9110, section 5.6.2 (token) and 5.5, visible ASCII only; no blanks before the colon, no folding. */
const FIELD = /^([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([\x20-\x7e\t]*)$/
const LENGTH = /^[0-9]{1,15}$/
/** What changes what a request means in ways that are left to Node's parser and to Fastify. */
const UNUSUAL: ReadonlySet<string> = new Set(['upgrade', 'te', 'trailer', 'http2-settings'])

/**
 * Reads a head, its text up to and without the empty line. Undefined for everything that is not plain: a wrong head as well as a rare one, Node's parser
 * tells them apart.
 */
export function readPlainHead(text: string): PlainHead | undefined {
  const lines = text.split('\r\n')
  const first = REQUEST_LINE.exec(lines[0] ?? '')
  if (!first || lines.length > MAX_FIELDS) return undefined
  const headers = new Map<string, string>()
  for (let index = 1; index < lines.length; index += 1) {
    const field = FIELD.exec(lines[index] ?? '')
    if (!field) return undefined
    const name = (field[1] ?? '').toLowerCase()
    if (UNUSUAL.has(name) || headers.has(name)) return undefined
    headers.set(name, (field[2] ?? '').trimEnd())
  }
  const [method = '', url = ''] = [first[1], first[2]]
  const body = bodyOf(headers, method)
  const connection = (headers.get('connection') ?? 'keep-alive').toLowerCase()
  const expect = (headers.get('expect') ?? '100-continue').toLowerCase()
  if (body === undefined || !headers.has('host')) return undefined
  if ((connection !== 'keep-alive' && connection !== 'close') || expect !== '100-continue') return undefined
  const expectsContinue = headers.has('expect') && body !== 'none'
  return { method, url, headers, body, closes: connection === 'close', expectsContinue }
}

/** RFC 9112, section 6.3. Both a length and a coding, or a coding that is not just `chunked`, is nothing plain. */
function bodyOf(headers: ReadonlyMap<string, string>, method: string): PlainHead['body'] | undefined {
  const coding = headers.get('transfer-encoding')
  const length = headers.get('content-length')
  if ((method === 'GET' || method === 'HEAD') && (coding !== undefined || (length ?? '0') !== '0'))
    return undefined
  if (coding !== undefined)
    return coding.toLowerCase() === 'chunked' && length === undefined ? 'chunked' : undefined
  if (length === undefined || length === '0') return 'none'
  return LENGTH.test(length) ? Number(length) || 'none' : undefined
}

/** A line feed without its carriage return: some parsers take it for the end of a line. */
export function hasBareLineFeed(bytes: Buffer): boolean {
  for (let at = bytes.indexOf(0x0a); at !== -1; at = bytes.indexOf(0x0a, at + 1))
    if (bytes[at - 1] !== 0x0d) return true
  return false
}
