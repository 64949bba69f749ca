import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import { listHas } from './header-names.ts'
import type { ResponseHead } from './response-head.ts'
import type { ConnectionUser, UpstreamConnection } from './upstream-connection.ts'
import type { WorkerContext } from './worker-context.ts'

/** A client that asked to upgrade, with the bytes that it sent behind its request. */
export interface UpgradeRequest {
  socket: Socket
  behind: Buffer
}

/**
 * True when a request may leave HTTP. Only WebSocket may: `h2c` and the like would be a tunnel around every rule of this proxy. A
 * request with a body stays HTTP, because its body and the other protocol's first bytes could not be told apart.
 */
export function mayUpgrade(request: IncomingMessage): boolean {
  const { headers } = request
  return (
    request.method === 'GET' &&
    request.httpVersionMinor === 1 &&
    headers.upgrade?.toLowerCase() === 'websocket' &&
    headers.connection !== undefined &&
    listHas(headers.connection, 'upgrade') &&
    headers['content-length'] === undefined &&
    headers['transfer-encoding'] === undefined
  )
}

/** Joins a client and a replica after a 101: bytes both ways, each no faster than the other side takes them. */
export class Splice implements ConnectionUser {
  private readonly context: WorkerContext
  private readonly client: Socket
  private readonly connection: UpstreamConnection
  private finished = false
  private cancelHalfClosed: (() => void) | null = null

  constructor(
    context: WorkerContext,
    upgrade: UpgradeRequest,
    connection: UpstreamConnection,
    head: ResponseHead,
    behind: Buffer,
  ) {
    this.context = context
    this.client = upgrade.socket
    this.connection = connection
    connection.upstream.upgraded += 1
    context.counters.upgrades += 1
    this.listen()
    this.client.write(switchingText(head), 'latin1')
    if (behind.length > 0) this.client.write(behind)
    if (upgrade.behind.length > 0) connection.socket.write(upgrade.behind)
  }

  private listen(): void {
    const { client, connection } = this
    client.on('data', (piece: Buffer) => {
      if (!connection.socket.write(piece)) client.pause()
    })
    client.on('drain', () => connection.resume())
    client.on('end', () => {
      connection.socket.end()
      this.awaitOtherSide()
    })
    client.on('close', () => this.finish())
  }

  connected(): void {}

  received(buffer: Buffer, length: number): void {
    if (!this.client.write(Buffer.from(buffer.subarray(0, length)))) this.connection.pause()
  }

  drained(): void {
    this.client.resume()
  }

  ended(): void {
    this.client.end()
    this.awaitOtherSide()
  }

  lost(error: Error | undefined): void {
    this.leave()
    // After a clean end the client still gets what is on its way; after a fault it must not take the end for a clean one.
    if (error === undefined && this.client.writableEnded) this.awaitOtherSide()
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
    this.client.destroy()
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
