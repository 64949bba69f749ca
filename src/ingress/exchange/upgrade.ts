import type { Socket } from 'node:net'
import { listHas } from '../messages/header-names.ts'
import type { KeptPiece } from './read-buffers.ts'
import { type RawRequest, valueOf } from '../messages/request-parser.ts'
import type { ResponseHead } from '../messages/response-head.ts'
import type { ConnectionUser, UpstreamConnection } from '../upstream/upstream-connection.ts'
import type { WorkerContext } from '../worker/worker-context.ts'

/** What a tunnel writes to its client. */
export type TunnelSocket = Pick<Socket, 'writableEnded'> & {
  /** False: it takes no more until the tunnel hears `clientDrained`. `sent` is called when the bytes are not needed any more. */
  write(bytes: Buffer, sent?: () => void): boolean
  end(): void
  destroy(): void
}

/** A handshake with a replica that is made on behalf of a client. */
export interface UpgradeHandshake {
  /** Whether the replica's 101 is an answer to what it was asked. */
  isAnswered(head: ResponseHead): boolean
  /** Tells the client that the tunnel is there. */
  begin(head: ResponseHead): void
}

/** A client that asked to leave HTTP. */
export interface UpgradeClient {
  readonly socket: TunnelSocket
  /** Of a client that knows nothing of the replica's handshake; without it the client has made it itself. */
  readonly handshake?: UpgradeHandshake
  /** Everything that it sends from now on is the tunnel's, and what it sent behind its request. */
  enterTunnel(tunnel: TunnelEnd): void
  /** Reads no more from it, or again. */
  hold(held: boolean): void
}

/** What a client's connection tells the tunnel that it is part of. */
export interface TunnelEnd {
  fromClient(piece: KeptPiece): void
  /** All that was written has left. */
  clientDrained(): void
  /** It has closed its sending side. */
  clientEnded(): void
  clientGone(): void
}

/**
 * True when a request may leave HTTP. Only WebSocket may: `h2c` and the like would be a tunnel around every rule of this proxy. A
 * request with a body stays HTTP, because its body and the other protocol's first bytes could not be told apart.
 */
export function mayUpgrade(request: RawRequest): boolean {
  if (request.method !== 'GET' || request.minor !== 1) return false
  const connection = valueOf(request, 'connection')
  return (
    connection !== undefined &&
    listHas(connection, 'upgrade') &&
    valueOf(request, 'upgrade')?.toLowerCase() === 'websocket' &&
    valueOf(request, 'content-length') === undefined &&
    valueOf(request, 'transfer-encoding') === undefined
  )
}

/** Joins a client and a replica after a 101: bytes both ways, each no faster than the other side takes them. */
export class Splice implements ConnectionUser, TunnelEnd {
  private readonly context: WorkerContext
  private readonly client: UpgradeClient
  private readonly connection: UpstreamConnection
  private finished = false
  private cancelHalfClosed: (() => void) | null = null

  /** `behind`: what came from the replica behind its header section; looked at during the call only. */
  constructor(
    context: WorkerContext,
    client: UpgradeClient,
    connection: UpstreamConnection,
    head: ResponseHead,
    behind: Buffer,
  ) {
    this.context = context
    this.client = client
    this.connection = connection
    connection.leaveHttp()
    connection.upstream.upgraded += 1
    context.counters.upgrades += 1
    if (client.handshake) client.handshake.begin(head)
    else client.socket.write(Buffer.from(switchingText(head), 'latin1'))
    if (behind.length > 0) client.socket.write(Buffer.from(behind))
    client.enterTunnel(this)
  }

  connected(): void {}

  fromClient({ bytes, release }: KeptPiece): void {
    if (!this.connection.socket.write(bytes, release)) this.client.hold(true)
  }

  clientDrained(): void {
    this.connection.resume()
  }

  clientEnded(): void {
    this.connection.socket.end()
    this.awaitOtherSide()
  }

  clientGone(): void {
    this.finish()
  }

  received(buffer: Buffer, length: number): void {
    const { bytes, release } = this.connection.keep(buffer, length)
    if (!this.client.socket.write(bytes, release)) this.connection.pause()
  }

  drained(): void {
    this.client.hold(false)
  }

  ended(): void {
    this.client.socket.end()
    this.awaitOtherSide()
  }

  lost(error: Error | undefined): void {
    this.leave()
    // After a clean end the client still gets what is on its way; after a fault it must not take the end for a clean one.
    if (error === undefined && this.client.socket.writableEnded) this.awaitOtherSide()
    else this.finish()
  }

  crashed(): void {
    this.finish()
  }

  tick(): void {}

  /** Closes both sides. */
  finish(): void {
    this.leave()
    this.cancelHalfClosed?.()
    this.client.socket.destroy()
    this.connection.destroy()
  }

  /** The replica is rid of it. */
  private leave(): void {
    if (this.finished) return
    this.finished = true
    this.connection.upstream.upgraded -= 1
  }

  private awaitOtherSide(): void {
    this.cancelHalfClosed ??= this.context.system.later(this.context.limits.half_closed_ms, () =>
      this.finish(),
    )
  }
}

function switchingText(head: ResponseHead): string {
  let text = `HTTP/1.1 101 ${head.reason || 'Switching Protocols'}\r\n`
  for (let index = 0; index < head.headers.length; index += 2) {
    text += `${head.headers[index]}: ${head.headers[index + 1]}\r\n`
  }
  return `${text}Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n`
}
