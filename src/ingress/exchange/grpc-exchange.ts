import {
  type ClientHttp2Stream,
  constants,
  type IncomingHttpHeaders,
  type IncomingHttpStatusHeader,
  type OutgoingHttpHeaders,
} from 'node:http2'
import type { Answer, RequestClient, ServedRequest } from './answer.ts'
import { AccessRecord, CLIENT_GONE } from './access-record.ts'
import { Attempts } from './attempts.ts'
import type { HeldRequest } from './hold.ts'
import { onWholeBody, type StreamSource } from '../http2/http2-body.ts'
import { cancelStream, watchWholeAnswer } from '../http2/http2-reset.ts'
import type { Incoming } from './incoming.ts'
import type { RequestHead } from '../messages/request-head.ts'
import type { ResponseHead } from '../messages/response-head.ts'
import type { UpstreamSession } from '../upstream/upstream-session.ts'
import type { UpstreamState } from '../upstream/upstream.ts'
import type { WorkerContext } from '../worker/worker-context.ts'

/**
 * One gRPC call on its way. Its servers speak nothing but HTTP/2, here without TLS and by prior knowledge (RFC 9113, section 3.3);
 * messages flow both ways at once, and the trailers say how it went.
 */
export class GrpcExchange implements ServedRequest, HeldRequest {
  private readonly context: WorkerContext
  private readonly client: RequestClient
  private readonly answer: Answer
  private readonly head: RequestHead
  private readonly source: StreamSource | null
  private readonly attempts: Attempts
  private readonly record: AccessRecord
  /** Where the call is or waits to be let in. */
  private upstream: UpstreamState | null = null
  private session: UpstreamSession | null = null
  private stream: ClientHttp2Stream | null = null
  private heldUntil: number | undefined
  private cancelStall: (() => void) | null = null
  private trailers: readonly string[] = []
  private flowing = false
  private done = false

  constructor(context: WorkerContext, { client, answer, head, source }: Incoming) {
    this.context = context
    this.client = client
    this.answer = answer
    this.head = head
    this.source = source
    this.record = new AccessRecord(context, head)
    this.attempts = new Attempts(context, head, this.record)
  }

  get hostname(): string {
    return this.head.routeName
  }

  start(): void {
    if (!this.attempt()) this.failUnlessHeld(503, 'no_replica')
  }

  retry(): boolean {
    this.attempts.begin()
    return this.attempt()
  }

  giveUp(): void {
    this.fail(503, 'held_in_vain')
  }

  abandon(): void {
    if (this.done) return
    this.done = true
    this.record.end(CLIENT_GONE)
    if (this.heldUntil !== undefined) this.context.holds.remove(this)
    this.leave()
  }

  crashed(): void {
    this.abandon()
    this.client.destroy()
  }

  private failUnlessHeld(status: number, reason: string): void {
    const until = this.context.holds.add(this, this.context.clock.now, this.heldUntil)
    if (until === undefined) this.fail(status, reason)
    else this.heldUntil = until
  }

  private attempt(): boolean {
    const upstream = this.attempts.nextUpstream()
    if (upstream === undefined) return false
    const session = upstream.http2Session(this.context)
    this.session = session
    this.upstream = upstream
    upstream.requests += 1
    upstream.askedAt = this.context.clock.now
    session.whenConnected((connected) => {
      if (this.session === session) this.proceed(session, connected)
    })
    return true
  }

  /** Other calls wait for the same connection: what is wrong with this one is not theirs. */
  private proceed(session: UpstreamSession, connected: boolean): void {
    try {
      if (connected) this.send(session)
      else this.refused()
    } catch (error) {
      this.context.caught(error)
      this.fail(502, 'exception')
    }
  }

  /** Nothing has been sent: another replica may be tried. */
  private refused(): void {
    const { upstream } = this
    this.leave()
    if (upstream === null || !this.attempts.afterRefusal(upstream) || !this.attempt())
      this.failUnlessHeld(502, 'connection_refused')
  }

  private send(session: UpstreamSession): void {
    const { limits } = this.context
    const stream = session.request(requestFields(this.head), this.source === null)
    if (stream === undefined) {
      this.refused()
      return
    }
    this.stream = stream
    const isWhole = watchWholeAnswer(stream)
    stream.setTimeout(limits.response_body_idle_ms, () => this.fail(504, 'response_timeout'))
    stream.on('response', (headers, flags, raw: string[]) => this.begin(headers, flags, raw))
    stream.on('trailers', (_headers: IncomingHttpHeaders, _flags: number, raw: string[]) => {
      this.trailers = raw
    })
    stream.on('data', (piece: Buffer) => {
      this.record.bytes += piece.length
      if (this.answer.write({ bytes: piece, release: undefined }, () => this.clientTakes(stream)))
        this.awaitClient(stream)
    })
    stream.on('end', () => {
      // Node says this also of an answer that was lost or reset; `close` follows.
      if (isWhole()) this.end()
    })
    stream.on('error', ignore)
    stream.on('close', () => {
      const { rstCode } = stream
      if (this.stream === stream)
        this.fail(502, rstCode === constants.NGHTTP2_NO_ERROR ? 'truncated' : `reset_${rstCode}`)
    })
    if (this.source !== null && !this.flowing) this.carry(this.source)
  }

  /** The client takes no more for now: it may not for long. Its own messages keep the timeout of the stream from coming. */
  private awaitClient(stream: ClientHttp2Stream): void {
    const { system, limits } = this.context
    stream.pause()
    this.cancelStall = system.later(limits.client_stall_ms, () => this.fail(504, 'client_stalled'))
  }

  private clientTakes(stream: ClientHttp2Stream): void {
    this.cancelStall?.()
    this.cancelStall = null
    stream.resume()
  }

  /** Carries the client's messages to wherever the call is now, no faster than they are taken. */
  private carry({ stream: from }: StreamSource): void {
    this.flowing = true
    from.on('error', ignore)
    let room = this.head.rules?.max_body_bytes ?? Number.POSITIVE_INFINITY
    from.on('data', (piece: Buffer) => {
      room -= piece.length
      if (room < 0) return this.fail(413, 'body_too_long')
      const { stream } = this
      if (stream === null || stream.destroyed || stream.write(piece)) return
      from.pause()
      stream.once('drain', () => from.resume())
    })
    onWholeBody(from, () => this.stream?.end())
  }

  private begin(
    headers: IncomingHttpHeaders & IncomingHttpStatusHeader,
    flags: number,
    raw: readonly string[],
  ): void {
    if (this.done) return
    const status = headers[':status'] ?? 0
    // See parseResponseHead.
    if (status < 200 || status > 599) return this.fail(502, 'status_line')
    const hasBody = (flags & constants.NGHTTP2_FLAG_END_STREAM) === 0
    const head: ResponseHead = {
      status,
      reason: '',
      headers: withoutPseudo(raw),
      contentLength: -1,
      chunked: true,
      reusable: true,
      keepAliveMs: -1,
      upgrade: '',
      trailer: '',
      dated: true,
    }
    this.attempts.answered(head)
    this.answer.begin(head, hasBody)
  }

  private end(): void {
    if (this.done) return
    if (!this.answer.begun) {
      this.fail(502, 'no_answer')
      return
    }
    this.done = true
    this.record.end()
    this.answer.end('', this.trailers)
    // A server may answer before it has read everything: what still comes is not wanted any more.
    this.leave()
    this.source?.discard()
    this.client.served(this)
  }

  private fail(status: number, reason: string): void {
    if (this.done) return
    this.done = true
    const { context, head } = this
    this.leave()
    const { hostname: host, requestId: request_id } = head
    context.log('request_failed', { status, reason, host, upstream: this.attempts.upstreamId, request_id })
    this.answer.fail(status, head.requestId)
    this.record.end(status)
    this.source?.discard()
    this.client.served(this)
  }

  /** The replica is rid of the call. */
  private leave(): void {
    const { upstream, stream } = this
    this.upstream = null
    this.session = null
    this.stream = null
    this.cancelStall?.()
    if (upstream !== null) upstream.requests -= 1
    if (stream !== null) cancelStream(stream)
  }
}

/** The checked header section, as fields of HTTP/2: what belonged to one connection of HTTP/1 is left out. */
function requestFields({ method, text }: RequestHead): OutgoingHttpHeaders {
  // A rule may have changed it.
  const [, path = '/'] = text.split(' ', 2)
  const fields: Record<string, string | string[]> = { ':method': method, ':path': path, ':scheme': 'http' }
  for (const line of text.split('\r\n').slice(1)) {
    const colon = line.indexOf(':')
    if (colon === -1) continue
    const name = line.slice(0, colon).toLowerCase()
    const value = line.slice(colon + 2)
    const present = fields[name]
    if (name === 'host') fields[':authority'] = value
    else if (name === 'transfer-encoding' || name === 'connection' || name === 'expect') continue
    else fields[name] = present === undefined ? value : [present, value].flat()
  }
  return fields
}

function withoutPseudo(raw: readonly string[]): string[] {
  const fields: string[] = []
  for (let index = 0; index < raw.length; index += 2) {
    const name = raw[index] as string
    if (!name.startsWith(':')) fields.push(name, raw[index + 1] as string)
  }
  return fields
}

function ignore(): void {}
