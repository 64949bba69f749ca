import type { Socket } from 'node:net'
import type { RequestClient, ServedRequest } from './answer.ts'
import type { Peer } from './peer.ts'

/**
 * One client's TCP connection. Requests that a client sends without waiting for answers are served one after the other, so that
 * their effects keep their order (RFC 9112, section 9.3.2).
 */
export class ClientConnection implements RequestClient {
  readonly socket: Socket
  readonly peer: Peer
  /** When a body that nobody wants must have been read to its end. */
  discardUntil = Number.POSITIVE_INFINITY
  /** An answer has said that the connection ends: nothing behind that request is served (RFC 9112, section 9.6). */
  closing = false
  /** It has left HTTP, or asked to. */
  upgraded = false
  private current: ServedRequest | null = null
  private readonly waiting: ServedRequest[] = []
  private readonly maxWaiting: number
  private untaken = 0
  private takenAt = 0

  constructor(socket: Socket, peer: Peer, maxWaiting: number) {
    this.socket = socket
    this.peer = peer
    this.maxWaiting = maxWaiting
  }

  get busy(): boolean {
    return this.current !== null
  }

  serve(request: ServedRequest): void {
    if (this.current !== null) {
      if (this.waiting.length >= this.maxWaiting) this.socket.destroy()
      else this.waiting.push(request)
      return
    }
    this.current = request
    request.start()
  }

  served(request: ServedRequest): void {
    if (this.current !== request) return
    if (this.closing) this.waiting.length = 0
    this.current = this.waiting.shift() ?? null
    this.current?.start()
  }

  /** The client has taken nothing for `patienceMs` of what waits for it. What left HTTP keeps its own time. */
  stalls(now: number, patienceMs: number): boolean {
    const { writableLength } = this.socket
    if (writableLength === 0 || this.upgraded || writableLength !== this.untaken) {
      this.untaken = writableLength
      this.takenAt = now
      return false
    }
    return now - this.takenAt >= patienceMs
  }

  destroy(): void {
    this.socket.destroy()
  }

  /** The connection is gone, and whoever waited for an answer with it. */
  abandon(): void {
    this.waiting.length = 0
    const { current } = this
    this.current = null
    current?.abandon()
  }
}
