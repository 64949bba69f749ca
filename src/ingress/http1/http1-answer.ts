import { STATUS_CODES } from 'node:http'
import { type Answer, countAnswer } from '../exchange/answer.ts'
import type { Http1Connection } from './http1-connection.ts'
import { errorAnswer, type LocalAnswer } from '../exchange/local-answer.ts'
import type { KeptPiece } from '../exchange/read-buffers.ts'
import { type RawRequest, valueOf } from '../messages/request-parser.ts'
import type { ResponseHead } from '../messages/response-head.ts'
import type { WorkerContext } from '../worker/worker-context.ts'

/** The answer to a request that came by HTTP/1. */
export class Http1Answer implements Answer {
  begun = false
  stalled = false
  private readonly context: WorkerContext
  private readonly client: Http1Connection
  private readonly request: RawRequest
  /** The connection may go on behind this answer. */
  private readonly persistent: boolean
  /** The client waits to be asked for its body. Unasked it may send it all the same, or not: nobody can tell what comes next. */
  private holdsBody: boolean
  private chunked = false
  /** The header section that has not been written yet: it leaves with the first piece of the body. */
  private headText = ''

  constructor(
    context: WorkerContext,
    client: Http1Connection,
    request: RawRequest,
    persistent: boolean,
    holdsBody = false,
  ) {
    this.context = context
    this.client = client
    this.request = request
    this.persistent = persistent
    this.holdsBody = holdsBody
  }

  informational(head: ResponseHead): void {
    if (this.request.minor === 1)
      this.client.socket.write(`${firstLines(head.status, head.reason, head.headers)}\r\n`, 'latin1')
  }

  askForBody(): void {
    this.holdsBody = false
    this.client.socket.write('HTTP/1.1 100 Continue\r\n\r\n', 'latin1')
  }

  begin(head: ResponseHead, hasBody: boolean): void {
    const { status, contentLength } = head
    const counted = contentLength !== -1
    this.begun = true
    this.chunked = hasBody && !counted && this.request.minor === 1
    let text = firstLines(status, head.reason, head.headers)
    if (!head.dated) text += dateLine(this.context.system.now())
    // Without a length and chunks, only its end can end the message.
    text += this.connectionLines(hasBody && !counted && !this.chunked)
    if (this.chunked) {
      text += 'Transfer-Encoding: chunked\r\n'
      if (head.trailer !== '' && head.chunked) text += `Trailer: ${head.trailer}\r\n`
    }
    // None on a 204 (RFC 9110, section 8.6).
    if (counted && status !== 204) text += `Content-Length: ${contentLength}\r\n`
    this.headText = `${text}\r\n`
  }

  flush(): void {
    if (this.headText === '') return
    const text = this.headText
    this.headText = ''
    this.client.socket.write(text, 'latin1')
  }

  write({ bytes, release }: KeptPiece, drained: () => void): boolean {
    const { socket } = this.client
    const room =
      this.headText !== '' || this.chunked ? this.writeFramed(bytes, release) : socket.write(bytes, release)
    if (room || this.stalled) return false
    this.stalled = true
    this.client.onDrain = () => {
      this.stalled = false
      drained()
    }
    return true
  }

  end(body: string, trailers: readonly string[]): void {
    let text = this.headText
    this.headText = ''
    if (this.chunked) {
      if (body !== '') text += `${body.length.toString(16)}\r\n${body}\r\n`
      text += `0\r\n${fieldLines(trailers)}\r\n`
    } else text += body
    if (text !== '') this.client.socket.write(text, 'latin1')
    if (this.client.closing) this.client.closeSoon()
  }

  fail(status: number, requestId: string): void {
    if (this.begun) {
      this.context.counters.truncated += 1
      this.client.socket.destroy()
      return
    }
    countAnswer(this.context, status)
    // What the client still has to say of a request that it was too slow with is not waited for.
    this.send(errorAnswer(status, requestId, this.accepts()), status === 408)
  }

  local(answer: LocalAnswer): void {
    this.send(answer, false)
  }

  accepts(): string | undefined {
    return valueOf(this.request, 'accept')
  }

  private send({ status, headers, body }: LocalAnswer, close: boolean): void {
    const { socket } = this.client
    this.begun = true
    const text =
      firstLines(status, STATUS_CODES[status] ?? '', headers) +
      dateLine(this.context.system.now()) +
      this.connectionLines(close)
    socket.cork()
    socket.write(`${text}\r\n`, 'latin1')
    if (body !== '' && this.request.method !== 'HEAD') socket.write(body, 'utf8')
    socket.uncork()
    if (this.client.closing) this.client.closeSoon()
  }

  private connectionLines(close: boolean): string {
    if (close || !this.persistent || this.holdsBody || this.context.draining) {
      this.client.closing = true
      return 'Connection: close\r\n'
    }
    const seconds = Math.floor(this.context.limits.client_keep_alive_ms / 1000)
    return `Connection: keep-alive\r\nKeep-Alive: timeout=${seconds}\r\n`
  }

  private writeFramed(bytes: Buffer, release: KeptPiece['release']): boolean {
    const { socket } = this.client
    const text = this.chunked ? `${this.headText}${bytes.length.toString(16)}\r\n` : this.headText
    this.headText = ''
    socket.cork()
    socket.write(text, 'latin1')
    let room = socket.write(bytes, release)
    if (this.chunked) room = socket.write('\r\n', 'latin1')
    socket.uncork()
    return room
  }
}

function firstLines(status: number, reason: string, fields: readonly string[]): string {
  return `HTTP/1.1 ${status} ${reason}\r\n${fieldLines(fields)}`
}

function fieldLines(fields: readonly string[]): string {
  let lines = ''
  for (let index = 0; index < fields.length; index += 2) lines += `${fields[index]}: ${fields[index + 1]}\r\n`
  return lines
}

let lastSecond = -1
let lastDate = ''

/** For answers without a date: who has a clock adds it (RFC 9110, section 6.6.1). */
function dateLine(now: number): string {
  const second = Math.floor(now / 1000)
  if (second !== lastSecond) {
    lastSecond = second
    lastDate = `Date: ${new Date(now).toUTCString()}\r\n`
  }
  return lastDate
}
