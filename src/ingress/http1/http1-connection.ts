import type { Socket } from 'node:net'
import { adoptSocket, type ReadTarget } from '../../lib/adopt-socket.ts'
import { ClientInput, type InputWorker } from './client-input.ts'
import { ConnectionEnd } from '../connections/connection-end.ts'
import { countAnswer, type RequestClient, type ServedRequest } from '../exchange/answer.ts'
import { rawErrorPage } from '../exchange/error-page.ts'
import { HeadReader } from './head-reader.ts'
import type { BodyConnection, Http1Body } from './http1-body.ts'
import type { Peer } from '../connections/peer.ts'
import type { KeptPiece } from '../exchange/read-buffers.ts'
import type { RawRequest } from '../messages/request-parser.ts'
import { ownSocket, type SocketEvent, type SocketOwner } from '../connections/socket-owner.ts'
import { StallWatch } from './stall-watch.ts'
import type { TunnelEnd } from '../exchange/upgrade.ts'
import type { WorkerContext } from '../worker/worker-context.ts'

/** At this size, a body gets buffers that can be passed on without a copy. */
const BULK_BYTES = 64 * 1024

/** Takes a request in; gives its body if it has one. */
export type TakeRequest = (connection: Http1Connection, request: RawRequest) => Http1Body | null

/**
 * One client's connection, with HTTP/1 on it. Requests that a client sends without waiting for answers are served one after the other, so
 * that their effects keep their order (RFC 9112, section 9.3.2); those behind are not even looked at before.
 */
export class Http1Connection implements RequestClient, BodyConnection, InputWorker, ReadTarget, SocketOwner {
  readonly socket: Socket
  readonly peer: Peer
  /** By the worker's clock. */
  readonly openedAt: number
  /** An answer has said that the connection ends: nothing behind that request is served (RFC 9112, section 9.6). */
  closing = false
  /** It has left HTTP, or asked to. */
  upgraded = false
  /** To be called once when the client takes bytes again. */
  onDrain: (() => void) | null = null
  private readonly context: WorkerContext
  private readonly takeRequest: TakeRequest
  private readonly closed: (connection: Http1Connection) => void
  private readonly head: HeadReader
  private current: ServedRequest | null = null
  private body: Http1Body | null = null
  private tunnel: TunnelEnd | null = null
  private readonly input: ClientInput
  private hasServed = false
  private readonly end = new ConnectionEnd()
  /** When the next request must have begun, its header section have come, or a body that nobody wants be over. */
  private deadline: number
  private readonly stall = new StallWatch()

  constructor(
    context: WorkerContext,
    accepted: Socket,
    peer: Peer,
    takeRequest: TakeRequest,
    closed: (connection: Http1Connection) => void,
  ) {
    this.context = context
    this.peer = peer
    this.openedAt = context.clock.now
    this.takeRequest = takeRequest
    this.input = new ClientInput(this, context.readBuffers)
    this.head = new HeadReader(context.limits)
    this.deadline = context.clock.now + context.limits.request_head_ms
    this.closed = closed
    this.socket = this.own(accepted)
    ownSocket(this.socket, this)
  }

  /** No request is on it, nor the beginning of one. */
  get idle(): boolean {
    return this.current === null && !this.upgraded && this.head.empty && this.body === null
  }

  serve(request: ServedRequest): void {
    this.current = request
    this.deadline = Number.POSITIVE_INFINITY
    request.start()
  }

  served(request: ServedRequest): void {
    if (this.current !== request) return
    this.current = null
    // It stays HTTP after all.
    if (this.tunnel === null) this.upgraded = false
    this.answered()
  }

  /** The answer is in the client's hands; the next request may come. */
  answered(): void {
    this.hasServed = true
    if (this.body === null && !this.upgraded && !this.end.ignores)
      this.deadline = this.context.clock.now + this.context.limits.client_keep_alive_ms
    this.advance()
  }

  /** The last answer has been written. A body that is still on its way is read to its end first, within bounds. */
  closeSoon(): void {
    this.end.begun = true
    this.socket.end()
    if (!this.input.taking) this.endWhenRead()
  }

  /** Nothing that still comes is looked at: what it is can no longer be known. */
  ignoreRest(): void {
    const { limits, clock } = this.context
    this.end.ignore(limits.discarded_body_bytes)
    this.deadline = clock.now + limits.request_body_idle_ms
  }

  destroy(): void {
    this.socket.destroy()
  }

  /** Looks at its deadlines. */
  tick(now: number): void {
    if (now >= this.deadline) this.expire()
    // What left HTTP keeps its own time.
    else if (!this.upgraded && this.stall.stalls(this.socket, now, this.context.limits.client_stall_ms))
      this.socket.destroy()
  }

  /** Everything that comes from now on is the tunnel's, beginning with what came behind the request. */
  enterTunnel(tunnel: TunnelEnd): void {
    this.tunnel = tunnel
    this.peer.forget()
    this.advance()
  }

  keep(buffer: Buffer, start: number, end: number): KeptPiece {
    return this.input.keep(buffer, start, end)
  }

  hold(held: boolean): void {
    this.input.hold(held)
  }

  bodyDiscarded(): void {
    this.deadline = this.context.clock.now + this.context.limits.request_body_idle_ms
  }

  bodyOver(): void {
    this.body = null
    this.input.bodyOver()
    if (this.current !== null) this.deadline = Number.POSITIVE_INFINITY
    else this.deadline = this.context.clock.now + this.context.limits.client_keep_alive_ms
  }

  /** Works on what has been read before, if it can be worked on now. */
  advance(): void {
    this.input.advance()
  }

  next(): Buffer {
    return this.input.buffer.next()
  }

  read(bytes: number, place: Buffer): void {
    this.received(place, bytes, false)
  }

  /** Its socket says so. */
  onEvent(event: SocketEvent): void {
    try {
      if (event === 'drain') this.drained()
      else if (event === 'end') this.ended()
      else if (event === 'close') this.abandon()
    } catch (error) {
      this.fault(error)
    }
  }

  onError(): void {}

  private own(accepted: Socket): Socket {
    const adopted =
      'encrypted' in accepted || accepted.bytesRead > 0 ? undefined : adoptSocket(accepted, this)
    if (adopted !== undefined) return adopted
    accepted.on('data', (piece: Buffer) => this.received(piece, piece.length, true))
    return accepted
  }

  private received(bytes: Buffer, length: number, owned: boolean): void {
    try {
      this.input.received(bytes, length, owned)
    } catch (error) {
      this.fault(error)
    }
  }

  /** What came has been worked on, or waits. */
  rested(): void {
    if (this.end.begun) this.endWhenRead()
  }

  /** A client that is still sending is cut off by the end of its body, the bound on what is discarded, or its deadline. */
  private endWhenRead(): void {
    if (this.body !== null) this.body.discard()
    else if (!this.end.ignores) this.socket.destroySoon()
  }

  mustWait(): boolean {
    if (this.tunnel !== null) return false
    if (this.body !== null) return this.body.waits
    return this.current !== null || (this.socket.writableNeedDrain && !this.closing)
  }

  step(bytes: Buffer, at: number, to: number): number {
    if (this.tunnel !== null) {
      const piece = this.keep(bytes, at, to)
      this.input.buffer.expectMoreBehind(bytes, to)
      this.tunnel.fromClient(piece)
      return to
    }
    if (this.body !== null) {
      const next = this.body.feed(bytes, at, to)
      if (next === -1) this.socket.destroy()
      return next === -1 ? to : next
    }
    // Behind the last request: nobody is to be given it.
    if (this.closing) {
      if (this.end.passes(to - at)) this.socket.destroy()
      return to
    }
    return this.readHead(bytes, at, to)
  }

  private readHead(bytes: Buffer, at: number, to: number): number {
    const { head, context } = this
    const begins = head.empty
    const next = head.take(bytes, at, to)
    const { request } = head
    if (typeof request === 'number') this.refuse(request)
    else if (request !== undefined) {
      head.clear()
      context.counters.requests += 1
      this.body = this.takeRequest(this, request)
      if (this.body !== null && this.body.remaining >= BULK_BYTES) this.input.buffer.bulk = true
    } else if (begins && this.hasServed) {
      this.deadline = context.clock.now + context.limits.request_head_ms
    }
    return next
  }

  /** What was read is no request, and what follows it may be anything. */
  private refuse(status: number): void {
    this.closing = true
    this.head.clear()
    this.ignoreRest()
    countAnswer(this.context, status)
    this.socket.write(rawErrorPage(status, this.context.newRequestId()))
    this.closeSoon()
  }

  private expire(): void {
    this.deadline = Number.POSITIVE_INFINITY
    if (this.body !== null || this.end.ignores) this.socket.destroy()
    else if (!this.head.empty) this.refuse(408)
    else {
      this.closing = true
      this.closeSoon()
    }
  }

  private drained(): void {
    const { onDrain } = this
    this.onDrain = null
    onDrain?.()
    this.tunnel?.clientDrained()
    this.advance()
  }

  /** A client that closes its sending side has gone, unless it left HTTP. What has been answered in full still reaches it. */
  private ended(): void {
    if (this.tunnel !== null) this.tunnel.clientEnded()
    else if (this.current !== null) this.socket.destroy()
    else this.socket.destroySoon()
  }

  /** The connection is gone, and whoever waited for an answer with it. */
  private abandon(): void {
    const { current, tunnel } = this
    this.closed(this)
    this.current = null
    this.input.drop()
    current?.abandon()
    tunnel?.clientGone()
  }

  /** A fault of ours ends this connection, not the worker. */
  private fault(error: unknown): void {
    this.context.caught(error)
    this.socket.destroy()
  }
}
