import { once } from 'node:events'
import type { Server as HttpServer } from 'node:http'
import { type AddressInfo, createServer, type Server } from 'node:net'

/** Where the container engine of this machine reaches the API: it speaks plain HTTP with nothing but 127.0.0.0/8. */
export interface EngineEntry {
  /** `127.0.0.1:7180`. Throws before `open`. */
  host(): string
  /** Finds the way to a server that listens; one that listens elsewhere than on loopback gets a door there, on a port of its own. */
  open(server: HttpServer): Promise<void>
  /** No more connections; those that there are belong to the server. */
  close(): void
}

/** Addresses that are reached through 127.0.0.1; a socket for all of IPv6 takes IPv4 as well unless it was told otherwise. */
const COVER_LOOPBACK: ReadonlySet<string> = new Set(['127.0.0.1', '0.0.0.0', '::'])

export function createEngineEntry(): EngineEntry {
  let door: Server | undefined
  let host: string | undefined
  return {
    host: () => {
      if (host === undefined) throw new Error('the API does not listen yet')
      return host
    },
    open: async (server) => {
      const { address, port } = server.address() as AddressInfo
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
