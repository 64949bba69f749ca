import type { IngressLimits } from '../contract/limits.ts'
import { parseRequest, type RawRequest } from '../messages/request-parser.ts'

/** Nearly every header section ends within this, so that a large read is not turned into text in vain. */
const FIRST_LOOK_BYTES = 4096
const CR = 0x0d
const CAPITAL_A = 0x41
const CAPITAL_Z = 0x5a
const BARE_LINE_FEED = /(?:^|[^\r])\n/

/** Finds the header section of the next request in the bytes of a connection, in however many pieces they come. */
export class HeadReader {
  /** What has been found: a request, or the status of the answer to what is none. */
  request: RawRequest | number | undefined
  private readonly limits: IngressLimits
  /** The beginning of a header section that has not come whole. */
  private partial = ''

  constructor(limits: IngressLimits) {
    this.limits = limits
  }

  /** Nothing of a request has come. */
  get empty(): boolean {
    return this.partial === ''
  }

  clear(): void {
    this.request = undefined
    this.partial = ''
  }

  /** Takes bytes from `at` to `to`; gives the index behind those that belong to the header section. */
  take(bytes: Buffer, at: number, to: number): number {
    const until = Math.min(to, at + this.limits.request_header_bytes - this.partial.length)
    const first = Math.min(until, at + FIRST_LOOK_BYTES)
    const next = this.look(bytes, at, first)
    if (next !== -1) return next
    if (first < until) {
      const further = this.look(bytes, at, until)
      if (further !== -1) return further
    }
    this.keep(bytes.toString('latin1', at, until))
    return to
  }

  /** Parses the header section if it ends before `until`; gives the index behind it, or -1. */
  private look(bytes: Buffer, at: number, until: number): number {
    const known = this.partial.length
    const piece = bytes.toString('latin1', at, until)
    const text = known === 0 ? piece : this.partial + piece
    // Empty lines in front of a request are not part of it (RFC 9112, section 2.2).
    let start = 0
    while (text.startsWith('\r\n', start)) start += 2
    const end = text.indexOf('\r\n\r\n', Math.max(start, known - 3))
    if (end === -1) return -1
    this.request = parseRequest(text, start, end + 4, this.limits.request_header_count)
    return at + end + 4 - known
  }

  private keep(piece: string): void {
    this.partial += piece
    const begin = this.partial.charCodeAt(0)
    if (this.partial.length >= this.limits.request_header_bytes) this.request = 431
    // What can never become a request is refused now instead of at the timeout.
    else if (begin !== CR && (begin < CAPITAL_A || begin > CAPITAL_Z)) this.request = 400
    else if (BARE_LINE_FEED.test(this.partial)) this.request = 400
  }
}
