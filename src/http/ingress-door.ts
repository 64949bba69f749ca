import { chmod, rm } from 'node:fs/promises'
import { createServer, type Socket } from 'node:net'
import type { Server } from './server.ts'

const fromIngress = new WeakSet<Socket>()

/** Whether a connection came through the door. */
export function isFromIngress(socket: Socket): boolean {
  return fromIngress.has(socket)
}

/**
 * Lets the ingress in: by a Unix socket that only this user can open, so that whoever comes through it may say whom he speaks for.
 * The result closes it.
 */
export async function openIngressDoor(server: Server, path: string): Promise<() => Promise<void>> {
  // Left by a daemon that was killed; one that lives would hold the data directory's lock.
  await rm(path, { force: true })
  const door = createServer({ allowHalfOpen: true }, (socket) => {
    fromIngress.add(socket)
    server.server.emit('connection', socket)
  })
  await new Promise<void>((resolve, reject) => {
    door.once('error', reject)
    door.listen(path, resolve)
  })
  await chmod(path, 0o600)
  return async () => {
    await new Promise<void>((resolve) => {
      // Connections belong to the server, which ends them in its own order.
      door.close()
      resolve()
    })
  }
}
