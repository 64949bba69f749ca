import { createServer, type Server, type Socket } from 'node:net'
import { connectionKey, type PendingConnections } from './pending-connections.ts'
import { parseProxyHeader } from './proxy-protocol.ts'
import type { WorkerContext } from '../worker/worker-context.ts'

/** Who is behind the load balancers in front, by connection. */
export class ProxiedPeers {
  /** Load balancers that begin each connection with a header of the PROXY protocol. */
  readonly isListed: (address: string) => boolean
  private readonly addresses = new Map<string, { socket: Socket; address: string }>()

  constructor(isListed: (address: string) => boolean) {
    this.isListed = isListed
  }

  /** The client's address; a TLS socket has the same ends as the connection that it encrypts. */
  addressOf(socket: Socket): string | undefined {
    return this.addresses.get(connectionKey(socket))?.address ?? socket.remoteAddress
  }

  remember(socket: Socket, address: string): void {
    const key = connectionKey(socket)
    this.addresses.set(key, { socket, address })
    socket.on('close', () => {
      if (this.addresses.get(key)?.socket === socket) this.addresses.delete(key)
    })
  }
}

/**
 * Builds a server that takes the PROXY protocol's header off connections from listed peers before `server` sees them, and hands on
 * the others as they are. From a listed peer the header must come: without it, a client could write his own. `allowHalfOpen`: as `server` has it; a
 * TLS socket takes it over from its connection.
 */
export function createProxyFront(
  context: WorkerContext,
  peers: ProxiedPeers,
  pending: PendingConnections,
  server: Server,
  allowHalfOpen: boolean,
): Server {
  const options = { noDelay: true, keepAlive: true, keepAliveInitialDelay: 60_000, allowHalfOpen }
  const front = createServer(options, (socket) => {
    if (!peers.isListed(socket.remoteAddress ?? '')) {
      server.emit('connection', socket)
      return
    }
    pending.add(socket)
    takeHeader(context, peers, socket, () => {
      pending.served(socket)
      server.emit('connection', socket)
    })
  })
  front.maxConnections = context.limits.client_connections
  return front
}

function takeHeader(context: WorkerContext, peers: ProxiedPeers, socket: Socket, taken: () => void): void {
  let received: Buffer = Buffer.alloc(0)
  const cancel = context.system.later(context.limits.request_head_ms, () => socket.destroy())
  const stop = (): void => {
    cancel()
    socket.off('readable', read)
    socket.off('error', leave)
    socket.off('end', leave)
  }
  const leave = (): void => {
    cancel()
    socket.destroy()
  }
  const read = (): void => {
    const piece: Buffer | null = socket.read()
    if (piece === null) return
    received = Buffer.concat([received, piece])
    const header = parseProxyHeader(received)
    if (header === 'more') return
    stop()
    if (header === undefined) {
      context.log('proxy_header_faulty', { peer: socket.remoteAddress ?? '' })
      socket.destroy()
      return
    }
    if (header.address !== undefined) peers.remember(socket, header.address)
    const rest = received.subarray(header.length)
    if (rest.length > 0) socket.unshift(rest)
    taken()
  }
  socket.on('error', leave)
  socket.on('end', leave)
  socket.on('readable', read)
}
