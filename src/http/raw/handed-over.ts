import type { Socket } from 'node:net'
import { Duplex } from 'node:stream'
import { followTimeout } from '../../lib/socket-timeout.ts'

/** A connection as Node's server sees it, after requests of it have been read by us. */
export class HandedOver extends Duplex {
  readonly #socket: Socket
  /** By Node's server: what was answered before is nothing that it could break into. */
  bytesWritten = 0

  /** As it was when the connection came: one that has been reset has none any more, and no address means the ingress. */
  readonly remoteAddress: string | undefined

  constructor(socket: Socket, remoteAddress: string | undefined) {
    super({ allowHalfOpen: true })
    this.#socket = socket
    this.remoteAddress = remoteAddress
    followTimeout(this, socket)
  }

  get remotePort(): number | undefined {
    return this.#socket.remotePort
  }

  get localAddress(): string | undefined {
    return this.#socket.localAddress
  }

  get localPort(): number | undefined {
    return this.#socket.localPort
  }

  receive(bytes: Buffer): void {
    if (bytes.length > 0 && !this.push(Buffer.from(bytes))) this.#socket.pause()
  }

  receiveEnd(): void {
    this.push(null)
  }

  /** As of net.Socket: ends, and destroys once everything is written. */
  destroySoon(): void {
    if (this.writable) this.end()
    if (this.writableFinished) this.destroy()
    else this.once('finish', () => this.destroy())
  }

  override _read(): void {
    this.#socket.resume()
  }

  override _write(bytes: Buffer, _encoding: string, done: (error?: Error | null) => void): void {
    this.bytesWritten += bytes.length
    this.#socket.write(bytes, done)
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#socket.end(done)
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#socket.destroy()
    done(error)
  }
}
