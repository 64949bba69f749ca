import type { IncomingHttpHeaders, ServerHttp2Stream } from 'node:http2'
import { type Answer, countAnswer } from '../exchange/answer.ts'
import { truncateStream } from './http2-reset.ts'
import { errorAnswer, type LocalAnswer } from '../exchange/local-answer.ts'
import type { KeptPiece } from '../exchange/read-buffers.ts'
import type { ResponseHead } from '../messages/response-head.ts'
import type { WorkerContext } from '../worker/worker-context.ts'

/** The answer to a request that came by HTTP/2. Whatever it does to a stream that is gone already does nothing. */
export class Http2Answer implements Answer {
  begun = false
  stalled = false
  private readonly context: WorkerContext
  private readonly stream: ServerHttp2Stream
  private readonly accept: string | undefined
  private readonly toHead: boolean
  private readonly forTunnel: boolean
  private hasBody = false
  private trailers: readonly string[] = []

  /** `forTunnel`: a success would say that the tunnel is there (RFC 9110, section 9.3.6). */
  constructor(
    context: WorkerContext,
    stream: ServerHttp2Stream,
    headers: IncomingHttpHeaders,
    forTunnel = false,
  ) {
    this.forTunnel = forTunnel
    this.context = context
    this.stream = stream
    this.accept = headers.accept
    this.toHead = headers[':method'] === 'HEAD'
  }

  informational(head: ResponseHead): void {
    // 101 is the only one that HTTP/2 lacks, and that never comes here.
    if (this.isOpen) this.stream.additionalHeaders({ ':status': head.status, ...grouped(head.headers) })
  }

  askForBody(): void {
    if (this.isOpen) this.stream.additionalHeaders({ ':status': 100 })
  }

  begin(head: ResponseHead, hasBody: boolean): void {
    this.begun = true
    if (!this.isOpen) return
    const { headers, contentLength, chunked } = head
    const status = this.forTunnel && head.status < 300 ? 502 : head.status
    const fields = [':status', String(status)]
    for (let index = 0; index < headers.length; index += 2)
      fields.push(lowerCase(headers[index] as string), headers[index + 1] as string)
    // 205 says that there is nothing; Node then sends nothing more, and a length would be a lie.
    if (contentLength !== -1 && status !== 204 && status !== 205)
      fields.push('content-length', String(contentLength))
    this.hasBody = hasBody && status !== 205
    const waitForTrailers = this.hasBody && chunked
    if (waitForTrailers) this.stream.on('wantTrailers', () => this.sendTrailers())
    this.stream.respond(fields, { endStream: !this.hasBody, waitForTrailers })
  }

  flush(): void {}

  write({ bytes, release }: KeptPiece, drained: () => void): boolean {
    const { stream } = this
    if (!this.hasBody || stream.destroyed || stream.write(bytes, release) || this.stalled) return false
    this.stalled = true
    stream.once('drain', () => {
      this.stalled = false
      drained()
    })
    return true
  }

  end(body: string, trailers: readonly string[]): void {
    if (!this.hasBody || this.stream.destroyed) return
    this.trailers = trailers
    this.stream.end(body, 'latin1')
  }

  fail(status: number, requestId: string): void {
    if (this.begun) {
      this.context.counters.truncated += 1
      truncateStream(this.stream)
      return
    }
    countAnswer(this.context, status)
    this.local(errorAnswer(status, requestId, this.accept))
  }

  local({ status, headers, body }: LocalAnswer): void {
    this.begun = true
    if (!this.isOpen) return
    const fields = [':status', String(status)]
    for (let index = 0; index < headers.length; index += 2)
      fields.push((headers[index] as string).toLowerCase(), headers[index + 1] as string)
    const endStream = body === '' || this.toHead
    this.stream.respond(fields, { endStream })
    if (!endStream) this.stream.end(body)
  }

  accepts(): string | undefined {
    return this.accept
  }

  /** `respond` and its like throw on a stream that the client has reset. */
  private get isOpen(): boolean {
    return !this.stream.destroyed && !this.stream.closed && !this.stream.headersSent
  }

  private sendTrailers(): void {
    if (this.stream.destroyed || this.stream.closed) return
    this.stream.sendTrailers(grouped(this.trailers))
  }
}

const CACHE_ENTRIES = 512
const cache = new Map<string, string>()

/** Field names are in lower case in HTTP/2. Applications use few, again and again. */
function lowerCase(name: string): string {
  const known = cache.get(name)
  if (known !== undefined) return known
  const lower = name.toLowerCase()
  // Copies: a name may be a slice of a whole header section.
  if (cache.size < CACHE_ENTRIES && name.length <= 64)
    cache.set(Buffer.from(name, 'latin1').toString('latin1'), Buffer.from(lower, 'latin1').toString('latin1'))
  return lower
}

function grouped(fields: readonly string[]): Record<string, string | string[]> {
  const groups = new Map<string, string[]>()
  for (let index = 0; index < fields.length; index += 2) {
    const name = (fields[index] as string).toLowerCase()
    groups.set(name, [...(groups.get(name) ?? []), fields[index + 1] as string])
  }
  return Object.fromEntries(groups)
}
