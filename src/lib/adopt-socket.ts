import { Socket, type SocketConstructorOpts } from 'node:net'

/** Where a connection's bytes go. */
export interface ReadTarget {
  /** The place for the next bytes; asked again behind each read, also while nothing is to be read. */
  next(): Buffer
  /** So many bytes are at the beginning of the place. */
  read(bytes: number, place: Buffer): void
}

interface Handled {
  _handle: object | null
  /** Whom it counts as open to. */
  _server: object | null
}

/**
 * Makes a socket that reads into places of our choosing out of one that a server accepted. Node offers this (`onread`) for outgoing
 * connections only; without it every 64 KiB are an allocation, which costs seven times the receiving itself. `handle` is the option that net.Server
 * itself makes accepted sockets with. Undefined when this Node has no such thing: then the connection is as it was.
 */
export function adoptSocket(accepted: Socket, target: ReadTarget): Socket | undefined {
  const holder = accepted as unknown as Handled
  const handle = holder._handle
  if (typeof handle !== 'object' || handle === null || !('useUserBuffer' in handle)) return undefined
  holder._handle = null
  const options: SocketConstructorOpts = {
    // Its type names only the documented kind.
    handle: handle as unknown as NonNullable<SocketConstructorOpts['handle']>,
    allowHalfOpen: true,
    onread: {
      buffer: () => target.next(),
      callback: (bytes, place) => {
        target.read(bytes, place as Buffer)
        return true
      },
    },
  }
  const socket = new Socket(options)
  const server = holder._server
  holder._server = null
  // Until it closes the server counts it among its connections. What it was is not needed any more.
  Object.assign(socket, { server, _server: server })
  return socket
}
