import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

export type Answer = (request: IncomingMessage, response: ServerResponse) => void

/** Real servers for fake containers: one port on every loopback address, each address with an answer of its own. */
export interface ReplicaServer {
  port: number
  /** Hands out an address that nobody had before and says how it answers. */
  addressFor(answer: Answer): string
  close(): Promise<void>
}

export async function openReplicaServer(): Promise<ReplicaServer> {
  const answers = new Map<string, Answer>()
  const server = createServer((request, response) => {
    const answer = answers.get(request.socket.localAddress ?? '')
    if (answer) answer(request, response)
    else request.socket.destroy()
  })
  // Linux takes connections to all of 127.0.0.0/8 for one that listens everywhere.
  await new Promise<void>((resolve) => server.listen(0, '0.0.0.0', resolve))
  let count = 0
  return {
    port: (server.address() as AddressInfo).port,
    addressFor: (answer) => {
      count += 1
      const address = `127.77.${count >> 8}.${count & 255}`
      answers.set(address, answer)
      return address
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}
