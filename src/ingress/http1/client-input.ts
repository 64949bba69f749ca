import type { Socket } from 'node:net'
import { ConnectionBuffer, type KeptPiece, type ReadBuffers } from '../exchange/read-buffers.ts'

/** More than this of what cannot be worked on yet waits in the kernel. */
const MAX_BYTES = 64 * 1024
/** At this size, a read gets buffers that can be passed on without a copy. */
const LARGE_READ_BYTES = 16 * 1024

/** Who works on what a client sends. */
export interface InputWorker {
  readonly socket: Socket
  /** Nothing can be worked on before something else has happened. */
  mustWait(): boolean
  /** Works on bytes from `at` to `to`; gives the index behind those that are done with. */
  step(bytes: Buffer, at: number, to: number): number
  /** What came has been worked on, or waits. */
  rested(): void
}

/** What has been read from a client: the present read, what cannot be worked on yet, and whether more is to be read. */
export class ClientInput {
  readonly buffer: ConnectionBuffer
  /** It is being worked on. */
  taking = false
  private readonly worker: InputWorker
  /** Nobody takes more for now. */
  private held = false
  private waiting: Buffer | null = null
  private paused = false
  /** The bytes that are being worked on are nobody else's. */
  private owned = false

  constructor(worker: InputWorker, buffers: ReadBuffers) {
    this.worker = worker
    this.buffer = new ConnectionBuffer(buffers)
  }

  /** Takes what has been read; it is nobody else's if `owned`, and otherwise only lent for the call. */
  received(bytes: Buffer, length: number, owned: boolean): void {
    if (this.waiting === null) this.take(bytes, 0, length, owned)
    else this.add(bytes, 0, length)
    this.settle()
  }

  /** Works on what has been read before, if it can be worked on now. */
  advance(): void {
    if (this.taking) return
    const before = this.worker.mustWait() ? null : this.drop()
    if (before !== null) this.take(before, 0, before.length, true)
    this.settle()
  }

  /** A piece of what is being worked on that outlives the read. */
  keep(buffer: Buffer, start: number, end: number): KeptPiece {
    if (end - start >= LARGE_READ_BYTES) this.buffer.bulk = true
    return this.owned
      ? { bytes: buffer.subarray(start, end), release: undefined }
      : this.buffer.keep(buffer, start, end)
  }

  /** Reads no more, or again. */
  hold(held: boolean): void {
    this.held = held
    this.settle()
  }

  /** A body is over: it holds nothing up any more, and what follows it is small. */
  bodyOver(): void {
    this.held = false
    this.buffer.bulk = false
  }

  /** Forgets what waits. */
  drop(): Buffer | null {
    const { waiting } = this
    this.waiting = null
    return waiting
  }

  private take(bytes: Buffer, from: number, to: number, owned: boolean): void {
    const { worker } = this
    let at = from
    this.taking = true
    this.owned = owned
    while (at < to && !worker.socket.destroyed) {
      if (worker.mustWait()) {
        this.add(bytes, at, to)
        break
      }
      at = worker.step(bytes, at, to)
    }
    this.taking = false
    worker.rested()
  }

  private add(bytes: Buffer, from: number, to: number): void {
    const piece = bytes.subarray(from, to)
    this.waiting = this.waiting === null ? Buffer.from(piece) : Buffer.concat([this.waiting, piece])
  }

  /** Reads on from the socket, or leaves what comes in the kernel. */
  private settle(): void {
    const pause = this.held || (this.waiting !== null && this.waiting.length >= MAX_BYTES)
    if (pause === this.paused) return
    this.paused = pause
    if (pause) this.worker.socket.pause()
    else this.worker.socket.resume()
  }
}
