import type { Socket } from 'node:net'
import type { RequestClient, ServedRequest } from './answer.ts'
import { type ForwardedClaims, forwardedLines, NO_CLAIMS, plainAddress } from './forwarded.ts'

/**
 * One client's TCP connection. Requests that a client sends without waiting for answers are served one after the other, so that
 * their effects keep their order (RFC 9112, section 9.3.2).
 */
export class ClientConnection implements RequestClient {
  readonly socket: Socket
  readonly address: string
  /** The peer may say whom it speaks for. */
  readonly trusted: boolean
  /** When a body that nobody wants must have been read to its end. */
  discardUntil = Number.POSITIVE_INFINITY
  /** An answer has said that the connection ends: nothing behind that request is served (RFC 9112, section 9.6). */
  closing = false
  /** It has left HTTP, or asked to. */
  upgraded = false
  private current: ServedRequest | null = null
  private readonly waiting: ServedRequest[] = []
  /** It came by TLS. */
  readonly secure: boolean
  private readonly maxWaiting: number
  private lastHost = ''
  private lastLines = ''

  constructor(socket: Socket, isTrusted: (address: string) => boolean, maxWaiting: number) {
    this.socket = socket
    this.secure = 'encrypted' in socket
    this.maxWaiting = maxWaiting
    this.address = plainAddress(socket.remoteAddress)
    this.trusted = isTrusted(this.address)
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

  forwardedLines(host: string, claims: ForwardedClaims): string {
    const { address, secure } = this
    if (claims !== NO_CLAIMS) return forwardedLines({ address, secure }, host, claims)
    if (host !== this.lastHost) {
      this.lastHost = host
      this.lastLines = forwardedLines({ address, secure }, host, NO_CLAIMS)
    }
    return this.lastLines
  }
}
