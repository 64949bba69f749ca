import { createHash } from 'node:crypto'
import type { ServerHttp2Stream } from 'node:http2'
import { onWholeBody } from './http2-body.ts'
import { cancelStream } from './http2-reset.ts'
import type { ResponseHead } from '../messages/response-head.ts'
import type { TunnelEnd, TunnelSocket, UpgradeClient, UpgradeHandshake } from '../exchange/upgrade.ts'
import type { WorkerContext } from '../worker/worker-context.ts'

/** RFC 6455, section 1.3. */
const WEB_SOCKET_GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'

/**
 * A client that opens a WebSocket by HTTP/2 (RFC 8441): its stream is one end of the tunnel. Applications know of HTTP/1 only, so that the handshake with
 * them is made here, with a key of ours.
 */
export class Http2Tunnel implements UpgradeClient, UpgradeHandshake, TunnelSocket {
  /** For `Sec-WebSocket-Key`. */
  readonly key: string
  private readonly context: WorkerContext
  private readonly stream: ServerHttp2Stream
  private tunnel: TunnelEnd | null = null

  constructor(context: WorkerContext, stream: ServerHttp2Stream) {
    this.context = context
    this.stream = stream
    this.key = context.system.randomBytes(16).toString('base64')
  }

  /** It carries the other protocol, and keeps its own time. */
  get entered(): boolean {
    return this.tunnel !== null
  }

  get socket(): TunnelSocket {
    return this
  }

  get handshake(): UpgradeHandshake {
    return this
  }

  get writableEnded(): boolean {
    return this.stream.writableEnded
  }

  /** Whether the replica has understood the handshake (RFC 6455, section 4.1). */
  isAnswered({ headers }: ResponseHead): boolean {
    const at = headers.findIndex((name, index) => index % 2 === 0 && isAccept(name))
    const expected = createHash('sha1')
      .update(this.key + WEB_SOCKET_GUID)
      .digest('base64')
    return at !== -1 && headers[at + 1] === expected
  }

  begin({ headers }: ResponseHead): void {
    if (this.stream.destroyed || this.stream.closed) return
    const fields = [':status', '200']
    for (let index = 0; index < headers.length; index += 2) {
      const name = headers[index] as string
      if (!isAccept(name)) fields.push(name.toLowerCase(), headers[index + 1] as string)
    }
    this.stream.respond(fields)
  }

  enterTunnel(tunnel: TunnelEnd): void {
    const { stream } = this
    this.tunnel = tunnel
    stream.on('data', (bytes: Buffer) => this.contain(() => tunnel.fromClient({ bytes, release: undefined })))
    stream.on('drain', () => this.contain(() => tunnel.clientDrained()))
    onWholeBody(stream, () => this.contain(() => tunnel.clientEnded()))
  }

  hold(held: boolean): void {
    if (held) this.stream.pause()
    else this.stream.resume()
  }

  write(bytes: Buffer, sent?: () => void): boolean {
    return this.stream.destroyed ? true : this.stream.write(bytes, sent)
  }

  end(): void {
    this.stream.end()
  }

  /** As a connection that is reset (RFC 8441, section 5). */
  destroy(): void {
    cancelStream(this.stream)
  }

  /** The stream is gone. */
  gone(): void {
    this.tunnel?.clientGone()
  }

  /** A fault of ours ends this tunnel, not the worker. */
  private contain(run: () => void): void {
    try {
      run()
    } catch (error) {
      this.context.caught(error)
      this.destroy()
    }
  }
}

function isAccept(name: string): boolean {
  return name.toLowerCase() === 'sec-websocket-accept'
}
