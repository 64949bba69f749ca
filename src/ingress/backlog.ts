import type { Socket } from 'node:net'

/** More than this of what cannot be worked on yet waits in the kernel. */
const MAX_BYTES = 64 * 1024

/** What has been read from a client and cannot be worked on yet, and whether more is to be read. */
export class Backlog {
  /** Nobody takes more for now. */
  held = false
  private bytes: Buffer | null = null
  private paused = false

  get empty(): boolean {
    return this.bytes === null
  }

  add(bytes: Buffer, from: number, to: number): void {
    const piece = bytes.subarray(from, to)
    this.bytes = this.bytes === null ? Buffer.from(piece) : Buffer.concat([this.bytes, piece])
  }

  take(): Buffer | null {
    const { bytes } = this
    this.bytes = null
    return bytes
  }

  /** Reads on from the socket, or leaves what comes in the kernel. */
  settle(socket: Socket): void {
    const pause = this.held || (this.bytes !== null && this.bytes.length >= MAX_BYTES)
    if (pause === this.paused) return
    this.paused = pause
    if (pause) socket.pause()
    else socket.resume()
  }
}
