import type { Socket } from 'node:net'

/**
 * Tells connections apart, by both ends: a load balancer may use one port of its own for several of ours. A TLS socket has the same
 * ends as the connection that it encrypts.
 */
export function connectionKey(socket: Socket): string {
  return `${socket.remoteAddress} ${socket.remotePort} ${socket.localAddress} ${socket.localPort}`
}

/** Connections that nobody serves yet: their PROXY header is awaited, or their TLS handshake is under way. Both are bounded in time. */
export class PendingConnections {
  private readonly sockets = new Map<string, Socket>()

  get size(): number {
    return this.sockets.size
  }

  add(socket: Socket): void {
    const key = connectionKey(socket)
    this.sockets.set(key, socket)
    socket.on('close', () => {
      if (this.sockets.get(key) === socket) this.sockets.delete(key)
    })
  }

  /** Somebody serves the connection, perhaps by a TLS socket on it. */
  served(socket: Socket): void {
    this.sockets.delete(connectionKey(socket))
  }

  closeAll(): void {
    for (const socket of this.sockets.values()) socket.destroy()
  }
}
