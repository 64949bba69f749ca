import { constants, type ServerHttp2Stream } from 'node:http2'
import type { RequestClient, ServedRequest } from '../exchange/answer.ts'
import { createStreamSource } from './http2-body.ts'
import { truncateStream } from './http2-reset.ts'
import type { Http2Tunnel } from './http2-tunnel.ts'
import type { WorkerContext } from '../worker/worker-context.ts'

/** One stream, as its request sees it. */
export class Http2Client implements RequestClient {
  private readonly context: WorkerContext
  private readonly stream: ServerHttp2Stream
  private current: ServedRequest | null = null
  /** The answer is handed over; the client is to take it, and to end its body. */
  private leaveBy = Number.POSITIVE_INFINITY
  private tunnel: Http2Tunnel | null = null

  constructor(context: WorkerContext, stream: ServerHttp2Stream) {
    this.context = context
    this.stream = stream
  }

  /** It has left HTTP. */
  get upgraded(): boolean {
    return this.tunnel?.entered === true
  }

  /** The client asks to leave HTTP. */
  asksFor(tunnel: Http2Tunnel): void {
    this.tunnel = tunnel
  }

  /** It stays HTTP after all: what the client has sent for its tunnel is not wanted. */
  settle(): void {
    if (this.tunnel === null || this.upgraded || this.current !== null) return
    this.tunnel = null
    createStreamSource(this.stream, this.context.limits.discarded_body_bytes, () => this.answered()).discard()
  }

  serve(request: ServedRequest): void {
    this.current = request
    request.start()
  }

  served(request: ServedRequest): void {
    if (this.current === request) this.current = null
    // What left HTTP keeps its own time.
    if (this.upgraded) return
    this.answered()
    this.settle()
  }

  answered(): void {
    this.leaveBy = this.context.clock.now + this.context.limits.client_stall_ms
  }

  destroy(): void {
    truncateStream(this.stream)
  }

  gone(): void {
    const { current } = this
    this.current = null
    try {
      current?.abandon()
      this.tunnel?.gone()
    } catch (error) {
      this.context.caught(error)
    }
  }

  tick(now: number): void {
    if (now >= this.leaveBy) this.stream.close(constants.NGHTTP2_CANCEL)
  }

  /** Its client takes not even the reset. */
  lingers(now: number): boolean {
    return now >= this.leaveBy + this.context.limits.client_stall_ms
  }
}
