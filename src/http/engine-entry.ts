import { once } from 'node:events'
import type { Server as HttpServer } from 'node:http'
import { type AddressInfo, createServer, type Server } from 'node:net'

/** Where the container engine of this machine reaches the API: it speaks plain HTTP with nothing but 127.0.0.0/8. */
export interface EngineEntry {
  /** `127.0.0.1:7180`. Throws before `open`. */
  host(): string
  /** Whether a host with its port, as people write it before the name of an image, is this API. */
  isOwn(host: string): boolean
  /** Finds the way to a server that listens; one that listens elsewhere than on loopback gets a door there, on a port of its own. */
  open(server: HttpServer): Promise<void>
  /** No more connections; those that there are belong to the server. */
  close(): void
}

/** Addresses that are reached through 127.0.0.1; a socket for all of IPv6 takes IPv4 as well unless it was told otherwise. */
const COVER_LOOPBACK: ReadonlySet<string> = new Set(['127.0.0.1', '0.0.0.0', '::'])

/** `controlDomain` is the name under which the API is reached from elsewhere. */
export function createEngineEntry(controlDomain: string | undefined): EngineEntry {
  let door: Server | undefined
  let host: string | undefined
  const own = new Set<string>(controlDomain === undefined ? [] : [controlDomain])
  return {
    host: () => {
      if (host === undefined) throw new Error('the API does not listen yet')
      return host
    },
    isOwn: (wanted) => wanted === host || own.has(wanted),
    open: async (server) => {
      const { address, port, family } = server.address() as AddressInfo
      const names = ['127.0.0.1', 'localhost', '[::1]', family === 'IPv6' ? `[${address}]` : address]
      for (const name of names) own.add(`${name}:${port}`)
      if (controlDomain !== undefined) own.add(`${controlDomain}:${port}`)
      if (COVER_LOOPBACK.has(address)) {
        host = `127.0.0.1:${port}`
        return
      }
      door = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
        server.emit('connection', socket)
      })
      door.listen(0, '127.0.0.1')
      await once(door, 'listening')
      host = `127.0.0.1:${(door.address() as AddressInfo).port}`
    },
    close: () => door?.close(),
  }
}
