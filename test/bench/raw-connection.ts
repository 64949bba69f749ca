import { once } from 'node:events'
import { connect, type Socket } from 'node:net'

export interface RawReply {
  status: number
  head: string
  bytes: number
}

/** One kept connection that sends a request at a time and throws bodies away: a client that costs as little as it can. */
export class RawConnection {
  readonly #socket: Socket
  readonly #host: string
  readonly #authorization: string
  #pending:
    | { isHead: boolean; resolve: (reply: RawReply) => void; reject: (error: Error) => void }
    | undefined
  #text: Buffer = Buffer.alloc(0)
  #reply: RawReply | undefined
  #left = 0

  constructor(origin: string, authorization: string) {
    const { hostname, port, host } = new URL(origin)
    this.#host = host
    this.#authorization = authorization
    this.#socket = connect(Number(port), hostname)
    this.#socket.setNoDelay(true)
    this.#socket.on('data', (piece: Buffer) => this.#take(piece))
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

  #take(piece: Buffer): void {
    if (this.#reply) {
      this.#left -= piece.length
      this.#finish()
      return
    }
    this.#text = this.#text.length === 0 ? piece : Buffer.concat([this.#text, piece])
    const end = this.#text.indexOf('\r\n\r\n')
    if (end === -1) return
    const head = this.#text.toString('latin1', 0, end)
    const status = Number(head.slice(9, 12))
    const rest = this.#text.length - end - 4
    this.#text = Buffer.alloc(0)
    // An answer to Expect or early hints.
    if (status < 200) return
    const length = Number(/\r\ncontent-length: *(\d+)/i.exec(head)?.[1] ?? 0)
    const bytes = this.#pending?.isHead === true || status === 204 || status === 304 ? 0 : length
    this.#reply = { status, head, bytes }
    this.#left = bytes - rest
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
