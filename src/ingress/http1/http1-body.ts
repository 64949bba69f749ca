import { ChunkedDecoder, type ChunkSink } from '../messages/chunked-decoder.ts'
import type { KeptPiece } from '../exchange/read-buffers.ts'
import type { BodySink, BodySource } from '../exchange/request-body.ts'

/** The connection that a body comes by. */
export interface BodyConnection {
  /** A piece of what was read that outlives the read. */
  keep(buffer: Buffer, start: number, end: number): KeptPiece
  /** Goes on with what was read before somebody wanted it. */
  advance(): void
  /** Reads no more for the body's sake, or again. */
  hold(held: boolean): void
  /** Nobody wants the rest: it is to be over in time. */
  bodyDiscarded(): void
  /** All of it has been read. */
  bodyOver(): void
  destroy(): void
}

/** The body of one request by HTTP/1, found in the bytes of its connection (RFC 9112, sections 6 and 7). */
export class Http1Body implements BodySource, ChunkSink {
  /** All of it has been read. */
  over = false
  private readonly connection: BodyConnection
  /** What is known to be still to come; -1 when it comes in chunks. */
  remaining: number
  private readonly decoder: ChunkedDecoder | null
  private sink: BodySink | null = null
  /** How much more is read for nobody; -1 while it is wanted. */
  private room = -1
  private readonly maxDiscarded: number

  /** `length`: -1 when it comes in chunks. */
  constructor(connection: BodyConnection, length: number, maxDiscarded: number) {
    this.connection = connection
    this.remaining = length
    this.decoder = length === -1 ? new ChunkedDecoder(true) : null
    this.maxDiscarded = maxDiscarded
  }

  /** Nobody takes it yet. */
  get waits(): boolean {
    return this.sink === null && this.room === -1
  }

  start(sink: BodySink): void {
    if (this.room !== -1) return
    this.sink = sink
    this.connection.advance()
  }

  pause(): void {
    this.connection.hold(true)
  }

  resume(): void {
    this.connection.hold(false)
  }

  trailers(): readonly string[] {
    return this.decoder?.trailers ?? []
  }

  /**
   * Reads the rest of a body that nobody wants, so that the client gets to see the answer and may go on with the connection. A
   * client that sends on regardless is cut off: closing at once instead would destroy the answer on its way (RFC 9112, section 9.6).
   */
  discard(): void {
    if (this.over || this.room !== -1) return
    this.sink = null
    this.room = this.maxDiscarded
    this.connection.bodyDiscarded()
    this.connection.hold(false)
    this.connection.advance()
  }

  /** Takes bytes from `start` to `end` and gives the index behind the last that belongs to the body; -1: it is broken. */
  feed(buffer: Buffer, start: number, end: number): number {
    const { decoder } = this
    if (decoder === null) {
      const until = Math.min(end, start + this.remaining)
      this.remaining -= until - start
      this.bodyPiece(buffer, start, until)
      if (this.remaining === 0) this.finish()
      return until
    }
    const until = decoder.decode(buffer, start, end, this)
    if (decoder.fault !== undefined) return -1
    if (decoder.finished) this.finish()
    return until
  }

  bodyPiece(buffer: Buffer, start: number, end: number): void {
    if (this.sink !== null) this.sink.piece(this.connection.keep(buffer, start, end))
    else {
      this.room -= end - start
      if (this.room < 0) this.connection.destroy()
    }
  }

  private finish(): void {
    this.over = true
    this.connection.bodyOver()
    this.sink?.end()
  }
}
