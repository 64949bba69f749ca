import type { IncomingMessage } from 'node:http'
import type { Readable } from 'node:stream'
import type { ClientConnection } from './client-connection.ts'
import { plainFields } from './response-head.ts'
import type { UpstreamConnection } from './upstream-connection.ts'
import type { WorkerContext } from './worker-context.ts'

const LAST_CHUNK = '0\r\n'

/** Where a request body comes from. */
export interface BodySource {
  readonly stream: Readable
  /** Names and values in turn; asked for behind the end. */
  trailers(): readonly string[]
  /** Nobody wants what still comes: throws it away within bounds. */
  discard(): void
}

/** Carries a request body from the client to a replica, no faster than the replica takes it. */
export class RequestBody {
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
    const { stream } = this.source
    stream.on('error', ignore)
    stream.on('data', (piece: Buffer) => this.take(piece))
    stream.on('end', () => this.end())
  }

  /** The replica takes more. */
  drained(): void {
    if (!this.held) return
    this.held = false
    this.source.stream.resume()
    this.moved()
  }

  /** Sends nothing more; what still comes is thrown away within bounds. */
  stop(): void {
    if (this.complete || (this.onDemand && !this.started)) return
    this.connection = null
    this.source.discard()
  }

  private take(piece: Buffer): void {
    const { connection } = this
    if (connection === null || this.overflowed) return
    this.limit -= piece.length
    this.overflowed = this.limit < 0
    if (this.overflowed) return this.moved()
    const { socket } = connection
    let room: boolean
    if (this.chunked) {
      socket.cork()
      socket.write(`${piece.length.toString(16)}\r\n`, 'latin1')
      socket.write(piece)
      room = socket.write('\r\n', 'latin1')
      socket.uncork()
    } else {
      room = socket.write(piece)
    }
    if (!room) {
      this.held = true
      this.source.stream.pause()
    }
    this.moved()
  }

  private end(): void {
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

/**
 * Reads the rest of a body that nobody wants, so that the client gets to see the answer and may go on with the connection. A
 * client that sends on regardless is cut off: closing at once instead would destroy the answer on its way (RFC 9112, section 9.6).
 */
export function discardBody(
  request: IncomingMessage,
  client: ClientConnection,
  context: WorkerContext,
): void {
  if (request.readableEnded || client.socket.destroyed) return
  let room = context.limits.discarded_body_bytes
  client.discardUntil = context.clock.now + context.limits.request_body_idle_ms
  request.on('error', ignore)
  request.on('data', (piece: Buffer) => {
    room -= piece.length
    if (room < 0) client.socket.destroy()
  })
  request.on('end', () => {
    client.discardUntil = Number.POSITIVE_INFINITY
  })
  request.resume()
}

function ignore(): void {}
