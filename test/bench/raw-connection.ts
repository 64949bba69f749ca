import { once } from 'node:events'
import { connect, type Socket } from 'node:net'

export interface RawReply {
  status: number
  head: string
  bytes: number
}

/** Read into by all connections in turn, so that a large answer costs the client no more than the kernel's copy. */
const place = Buffer.allocUnsafeSlow(512 * 1024)

/** One kept connection that sends a request at a time and throws bodies away: a client that costs as little as it can. */
export class RawConnection {
  readonly #socket: Socket
  readonly #host: string
  readonly #authorization: string
  #pending:
    | { isHead: boolean; resolve: (reply: RawReply) => void; reject: (error: Error) => void }
    | undefined
  #text = ''
  #reply: RawReply | undefined
  #left = 0

  constructor(origin: string, authorization: string) {
    const { hostname, port, host } = new URL(origin)
    this.#host = host
    this.#authorization = authorization
    this.#socket = connect({
      port: Number(port),
      host: hostname,
      noDelay: true,
      onread: {
        buffer: place,
        callback: (bytes) => {
          this.#take(bytes)
          return true
        },
      },
    })
    this.#socket.on('error', (error) => this.#pending?.reject(error))
    this.#socket.on('close', () => this.#pending?.reject(new Error('the connection was closed')))
  }

  /** Sends a request; `pieces` are the body. */
  async request(
    method: string,
    path: string,
    headers: Record<string, string> = {},
    pieces: Iterable<Buffer> = [],
    length = 0,
  ): Promise<RawReply> {
    const { promise, resolve, reject } = Promise.withResolvers<RawReply>()
    this.#pending = { isHead: method === 'HEAD', resolve, reject }
    const lines = [
      `${method} ${path} HTTP/1.1`,
      `Host: ${this.#host}`,
      `Authorization: ${this.#authorization}`,
      ...(method === 'GET' || method === 'HEAD' ? [] : [`Content-Length: ${length}`]),
      ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`),
    ]
    this.#socket.write(`${lines.join('\r\n')}\r\n\r\n`)
    for (const piece of pieces) if (!this.#socket.write(piece)) await once(this.#socket, 'drain')
    return promise
  }

  close(): void {
    this.#pending = undefined
    this.#socket.destroy()
  }

  #take(bytes: number): void {
    if (this.#reply) {
      this.#left -= bytes
      this.#finish()
      return
    }
    // The end of a head and what precedes it; a body is only counted.
    const piece = place.subarray(0, bytes)
    const end = piece.indexOf('\r\n\r\n')
    if (end === -1) {
      this.#text += piece.toString('latin1')
      return
    }
    const head = this.#text + piece.toString('latin1', 0, end)
    this.#text = ''
    const status = Number(head.slice(9, 12))
    const length = Number(/\r\ncontent-length: *(\d+)/i.exec(head)?.[1] ?? 0)
    const isBare = this.#pending?.isHead === true || status === 204 || status === 304
    this.#reply = { status, head, bytes: isBare ? 0 : length }
    this.#left = this.#reply.bytes - (bytes - end - 4)
    this.#finish()
  }

  #finish(): void {
    if (this.#left > 0 || !this.#reply) return
    const reply = this.#reply
    const pending = this.#pending
    this.#reply = undefined
    this.#pending = undefined
    pending?.resolve(reply)
  }
}
