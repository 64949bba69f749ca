import type { BodySink, BodySource } from '../../lib/body-source.ts'
import { ChunkReader } from './chunk-reader.ts'

/** What a body asks of the connection that brings it. */
export interface BodyConnection {
  pause(): void
  resume(): void
  destroy(): void
  /** The sink takes bytes from now on: hand over what has come meanwhile. */
  bodyStarted(): void
  /** Nobody wants the body. Answers whether the client may be kept from sending it. */
  bodyUnwanted(): boolean
  /** The last byte has been taken. */
  bodyOver(): void
}

const NOWHERE: BodySink = { room: () => undefined, filled: () => {}, take: () => {}, end: () => {} }

/** The body of a plain request. Where its length is known, the network reads to where the sink wants the bytes. */
export class ConnectionBody implements BodySource {
  readonly length: number | undefined
  isOver = false
  /** Nobody wants what still comes. */
  isDiscarded = false
  readonly #connection: BodyConnection
  readonly #chunks: ChunkReader | undefined
  #left: number
  #sink: BodySink | undefined
  #place: Buffer | undefined
  #failure: Error | undefined

  constructor(kind: 'none' | 'chunked' | number, connection: BodyConnection) {
    this.#connection = connection
    this.#chunks = kind === 'chunked' ? new ChunkReader() : undefined
    this.length = kind === 'chunked' ? undefined : kind === 'none' ? 0 : kind
    this.#left = this.length ?? 0
    this.isOver = kind === 'none'
  }

  /** What is missing will not come any more. */
  get isLost(): boolean {
    return this.#failure !== undefined
  }

  get isStarted(): boolean {
    return this.#sink !== undefined
  }

  start(sink: BodySink): void {
    this.#sink = sink
    if (this.isOver || this.#failure) sink.end(this.#failure)
    else this.#connection.bodyStarted()
  }

  pause(): void {
    if (!this.isOver) this.#connection.pause()
  }

  resume(): void {
    if (!this.isOver) this.#connection.resume()
  }

  discard(): void {
    if (this.isOver || this.isDiscarded) return
    const isStarted = this.#sink !== undefined
    this.isDiscarded = true
    this.#place = undefined
    this.#sink = NOWHERE
    if (!isStarted && this.#connection.bodyUnwanted()) this.#finish()
    else this.#connection.bodyStarted()
  }

  destroy(): void {
    this.#connection.destroy()
  }

  /** Where the next bytes of the body are to be read to; undefined: anywhere. */
  place(): Buffer | undefined {
    this.#place = undefined
    if (this.#chunks || this.isOver) return undefined
    const room = this.#sink?.room()
    if (room) this.#place = room.length > this.#left ? room.subarray(0, this.#left) : room
    return this.#place
  }

  /** Takes what was read to a place; answers how many bytes of it are the body's. */
  read(bytes: number, place: Buffer): number {
    if (place !== this.#place) return this.feed(place.subarray(0, bytes))
    this.#left -= bytes
    this.#sink?.filled(bytes)
    if (this.#left === 0) this.#finish()
    return bytes
  }

  /** Takes bytes from the front of what has come; answers how many are the body's. */
  feed(bytes: Buffer): number {
    if (this.#chunks) return this.#feedChunks(this.#chunks, bytes)
    const piece = bytes.length > this.#left ? bytes.subarray(0, this.#left) : bytes
    this.#left -= piece.length
    this.#sink?.take(piece)
    if (this.#left === 0) this.#finish()
    return piece.length
  }

  /** The connection is gone before the end. */
  lost(error: Error): void {
    if (this.isOver || this.#failure) return
    this.#failure = error
    this.#sink?.end(error)
  }

  #feedChunks(chunks: ChunkReader, bytes: Buffer): number {
    const used = chunks.read(bytes, (data) => this.#sink?.take(data))
    if (chunks.fault) {
      this.lost(new Error('the chunks of the body are malformed'))
      this.#connection.destroy()
    } else if (chunks.over) this.#finish()
    return used
  }

  #finish(): void {
    this.isOver = true
    this.#place = undefined
    this.#sink?.end()
    this.#connection.bodyOver()
  }
}
