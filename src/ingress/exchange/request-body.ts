import type { KeptPiece } from './read-buffers.ts'
import { plainFields } from '../messages/response-head.ts'
import type { UpstreamConnection } from '../upstream/upstream-connection.ts'

const LAST_CHUNK = '0\r\n'

/** Takes a request body. */
export interface BodySink {
  /** A piece that may be kept until it is released. */
  piece(piece: KeptPiece): void
  /** The body is whole. One that breaks off never ends: its client is gone then. */
  end(): void
}

/** Where a request body comes from. */
export interface BodySource {
  /** Sends everything to the sink from now on. */
  start(sink: BodySink): void
  /** Holds the client back; what has been read already may still come. */
  pause(): void
  resume(): void
  /** Names and values in turn; asked for behind the end. */
  trailers(): readonly string[]
  /** Nobody wants what still comes: throws it away within bounds. */
  discard(): void
}

/** Carries a request body from the client to a replica, no faster than the replica takes it. */
export class RequestBody implements BodySink {
  /** The last byte has been handed to the connection. */
  complete = false
  /** More has come than `limit`: nothing more is passed on. */
  overflowed = false
  limit = Number.POSITIVE_INFINITY
  /** The client is held back because the replica is slow. */
  held = false
  private readonly source: BodySource
  private readonly chunked: boolean
  /** The client sends it only when it is asked to. */
  private readonly onDemand: boolean
  private connection: UpstreamConnection | null = null
  private moved: () => void = () => {}

  constructor(source: BodySource, chunked: boolean, onDemand: boolean) {
    this.source = source
    this.chunked = chunked
    this.onDemand = onDemand
  }

  get started(): boolean {
    return this.connection !== null
  }

  /** Begins; `moved` is called whenever bytes have moved and at the end. */
  start(connection: UpstreamConnection, moved: () => void): void {
    this.connection = connection
    this.moved = moved
    this.source.start(this)
  }

  /** The replica takes more. */
  drained(): void {
    if (!this.held) return
    this.held = false
    this.source.resume()
    this.moved()
  }

  /** Sends nothing more; what still comes is thrown away within bounds. */
  stop(): void {
    if (this.complete || (this.onDemand && !this.started)) return
    this.connection = null
    this.source.discard()
  }

  piece({ bytes, release }: KeptPiece): void {
    const { connection } = this
    this.limit -= bytes.length
    if (connection === null || this.overflowed || this.limit < 0) {
      release?.()
      if (connection === null || this.overflowed) return
      this.overflowed = true
      this.moved()
      return
    }
    const { socket } = connection
    let room: boolean
    if (this.chunked) {
      socket.cork()
      socket.write(`${bytes.length.toString(16)}\r\n`, 'latin1')
      socket.write(bytes, release)
      room = socket.write('\r\n', 'latin1')
      socket.uncork()
    } else {
      room = socket.write(bytes, release)
    }
    if (!room && !this.held) {
      this.held = true
      this.source.pause()
    }
    this.moved()
  }

  end(): void {
    const { connection } = this
    if (connection === null) return
    this.complete = true
    if (this.chunked) connection.socket.write(LAST_CHUNK + this.trailerLines() + '\r\n', 'latin1')
    this.moved()
  }

  private trailerLines(): string {
    const fields = plainFields(this.source.trailers())
    let lines = ''
    for (let index = 0; index < fields.length; index += 2)
      lines += `${fields[index]}: ${fields[index + 1]}\r\n`
    return lines
  }
}
