import { ChunkedDecoder, type ChunkSink } from './chunked-decoder.ts'
import { parseResponseHead, type ResponseFault, type ResponseHead } from './response-head.ts'

/** Gets the parts of one response as they arrive. A call may stop the parser. */
export interface ResponseSink extends ChunkSink {
  /** 1xx other than 101. */
  informational(head: ResponseHead): void
  /** A whole response with a Content-Length that arrived at once; neither `responseHead` nor `responseEnd` follows. */
  wholeResponse(head: ResponseHead, body: string, clean: boolean): void
  responseHead(head: ResponseHead, hasBody: boolean): void
  /** `clean`: nothing came behind the message, so the connection may be used again. */
  responseEnd(trailers: string[], clean: boolean): void
  /** A 101: what follows from `start` to `end` is the other protocol's. */
  switchedProtocol(head: ResponseHead, buffer: Buffer, start: number, end: number): void
}

const IDLE = 0
const HEAD = 1
const LENGTH = 2
const CHUNKED = 3
const UNTIL_CLOSE = 4

const EMPTY = Buffer.alloc(0)
/** Bodies up to this go out in one string together with their header section: one allocation and one system call. */
const WHOLE_BODY_BYTES = 16 * 1024
const MAX_INFORMATIONAL = 16
/** Nearly every header section ends within this, so that a large read is not turned into text in vain. */
const FIRST_LOOK_BYTES = 4096

/** Splits the bytes of one upstream connection into responses (RFC 9112), strictly, without buffering bodies. */
export class ResponseParser {
  private readonly maxHeadBytes: number
  private readonly maxHeaders: number
  private readonly decoder = new ChunkedDecoder(false)
  private state: number = IDLE
  private toHead = false
  private remaining = 0
  private informationals = 0
  /** The beginning of a header section that has not come whole. */
  private partial: Buffer = EMPTY

  constructor(maxHeadBytes: number, maxHeaders: number) {
    this.maxHeadBytes = maxHeadBytes
    this.maxHeaders = maxHeaders
  }

  /** Gets ready for the response to one request. */
  begin(toHead: boolean): void {
    this.state = HEAD
    this.toHead = toHead
    this.remaining = 0
    this.informationals = 0
    this.partial = EMPTY
  }

  /** The bytes of this response's body that are known to be still to come. */
  get expectedBytes(): number {
    return this.state === LENGTH ? this.remaining : 0
  }

  /** Takes the first `length` bytes of `buffer`; a fault means that the connection must not be used any more. */
  feed(buffer: Buffer, length: number, sink: ResponseSink): ResponseFault | undefined {
    switch (this.state) {
      case HEAD:
        return this.feedHead(buffer, length, sink)
      case IDLE:
        return 'truncated'
      default:
        return this.feedBody(buffer, 0, length, sink)
    }
  }

  /** The upstream has closed its side. */
  finish(sink: ResponseSink): ResponseFault | undefined {
    if (this.state !== UNTIL_CLOSE) return 'truncated'
    this.state = IDLE
    sink.responseEnd([], false)
    return undefined
  }

  private feedHead(chunk: Buffer, chunkLength: number, sink: ResponseSink): ResponseFault | undefined {
    let buffer = chunk
    let length = chunkLength
    let searchFrom = 0
    if (this.partial.length > 0) {
      searchFrom = Math.max(0, this.partial.length - 3)
      buffer = Buffer.concat([this.partial, chunk.subarray(0, chunkLength)])
      length = buffer.length
      this.partial = EMPTY
    }
    let start = 0
    while (this.state === HEAD) {
      let text = buffer.toString('latin1', start, Math.min(length, start + FIRST_LOOK_BYTES))
      let found = text.indexOf('\r\n\r\n', searchFrom)
      if (found === -1 && length - start > FIRST_LOOK_BYTES) {
        text = buffer.toString('latin1', start, Math.min(length, start + this.maxHeadBytes + 4))
        found = text.indexOf('\r\n\r\n', searchFrom)
      }
      searchFrom = 0
      if (found === -1) return this.keepPartial(buffer, start, length, text)
      const head = parseResponseHead(text, found + 4, this.maxHeaders)
      if (typeof head === 'string') return head
      start += found + 4
      if (head.status >= 200) return this.beginBody(head, buffer, start, length, sink)
      const fault = this.takeInformational(head, buffer, start, length, sink)
      if (fault !== undefined) return fault
      if (start === length) return undefined
    }
    return undefined
  }

  private keepPartial(
    buffer: Buffer,
    start: number,
    length: number,
    text: string,
  ): ResponseFault | undefined {
    if (length - start > this.maxHeadBytes) return 'header_size'
    // A header section that can never become valid is refused now instead of at the timeout.
    if (!'HTTP/1.'.startsWith(text.slice(0, 7))) return 'status_line'
    if (/(?:^|[^\r])\n/.test(text)) return 'line_ending'
    this.partial = Buffer.from(buffer.subarray(start, length))
    return undefined
  }

  private takeInformational(
    head: ResponseHead,
    buffer: Buffer,
    start: number,
    length: number,
    sink: ResponseSink,
  ): ResponseFault | undefined {
    if (head.chunked || head.contentLength > 0) return 'informational'
    if (head.status === 101) {
      this.state = IDLE
      sink.switchedProtocol(head, buffer, start, length)
      return undefined
    }
    this.informationals += 1
    if (this.informationals > MAX_INFORMATIONAL) return 'informational'
    sink.informational(head)
    return undefined
  }

  private beginBody(
    head: ResponseHead,
    buffer: Buffer,
    start: number,
    length: number,
    sink: ResponseSink,
  ): ResponseFault | undefined {
    const available = length - start
    // RFC 9112, section 6.3: these end with their header section whatever it says.
    const bodiless = this.toHead || head.status === 204 || head.status === 304
    if (bodiless || head.contentLength === 0) {
      this.state = IDLE
      sink.responseHead(head, false)
      sink.responseEnd([], available === 0)
      return undefined
    }
    if (head.contentLength > 0 && head.contentLength <= Math.min(WHOLE_BODY_BYTES, available)) {
      this.state = IDLE
      const body = buffer.toString('latin1', start, start + head.contentLength)
      sink.wholeResponse(head, body, available === head.contentLength)
      return undefined
    }
    this.enterBody(head)
    sink.responseHead(head, true)
    return available > 0 ? this.feedBody(buffer, start, length, sink) : undefined
  }

  private enterBody(head: ResponseHead): void {
    if (head.chunked) {
      this.state = CHUNKED
      this.decoder.reset()
    } else if (head.contentLength > 0) {
      this.state = LENGTH
      this.remaining = head.contentLength
    } else {
      this.state = UNTIL_CLOSE
    }
  }

  private feedBody(
    buffer: Buffer,
    start: number,
    length: number,
    sink: ResponseSink,
  ): ResponseFault | undefined {
    if (this.state === CHUNKED) return this.feedChunked(buffer, start, length, sink)
    if (this.state === UNTIL_CLOSE) {
      sink.bodyPiece(buffer, start, length)
      return undefined
    }
    const end = Math.min(length, start + this.remaining)
    this.remaining -= end - start
    sink.bodyPiece(buffer, start, end)
    if (this.remaining === 0 && this.state === LENGTH) {
      this.state = IDLE
      sink.responseEnd([], end === length)
    }
    return undefined
  }

  private feedChunked(
    buffer: Buffer,
    start: number,
    length: number,
    sink: ResponseSink,
  ): ResponseFault | undefined {
    const end = this.decoder.decode(buffer, start, length, sink)
    if (this.decoder.fault !== undefined) return this.decoder.fault
    if (this.decoder.finished && this.state === CHUNKED) {
      this.state = IDLE
      sink.responseEnd(this.decoder.trailers, end === length)
    }
    return undefined
  }

  /** Forgets the response: the sink is not called again. */
  stop(): void {
    this.state = IDLE
    this.partial = EMPTY
  }
}
