import { chmodSync, rmSync } from 'node:fs'
import { createServer, type Socket } from 'node:net'
import { messageOf } from '../../lib/errors.ts'
import {
  type ControlEvent,
  type ControlReply,
  type ControlRequest,
  MAX_LINE_LENGTH,
} from '../contract/control-protocol.ts'
import { JsonLines } from '../../lib/json-lines.ts'

/** Connections that the control plane may have open at once: one, and one more while it restarts, with room to spare. */
const MAX_CONNECTIONS = 8
/** A control plane that reads nothing is told no more; it asks for the whole status when it is back. */
const MAX_UNREAD_BYTES = 64 * 1024

/** The worker's end of the talk with the control plane. */
export interface ControlServer {
  /** Tells everyone who is connected; nobody is waited for. */
  tell(event: ControlEvent): void
  /** Tells who connected last, whatever it has not read yet, and hangs up; resolves when that has left. */
  leave(events: readonly ControlEvent[]): Promise<void>
}

/** Answers the control plane on a Unix socket at `path`. */
export async function listenForControl(
  path: string,
  answer: (request: ControlRequest) => ControlReply,
): Promise<ControlServer> {
  // A leftover with our own pid in its name belongs to a process that is gone.
  rmSync(path, { force: true })
  const open = new Set<Socket>()
  const server = createServer((socket) => {
    open.add(socket)
    socket.on('close', () => open.delete(socket))
    converse(socket, answer)
  })
  server.maxConnections = MAX_CONNECTIONS
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(path, resolve)
  })
  chmodSync(path, 0o600)
  return {
    tell: (event) => {
      for (const socket of open)
        if (socket.writableLength < MAX_UNREAD_BYTES) socket.write(`${JSON.stringify(event)}\n`)
    },
    leave: async (events) => {
      const socket = [...open].at(-1)
      if (socket === undefined) return
      for (const event of events) socket.write(`${JSON.stringify(event)}\n`)
      await new Promise<void>((resolve) => {
        socket.once('close', resolve)
        socket.end(resolve)
      })
    },
  }
}

function converse(socket: Socket, answer: (request: ControlRequest) => ControlReply): void {
  const lines = new JsonLines(MAX_LINE_LENGTH)
  socket.setEncoding('utf8')
  socket.on('error', () => socket.destroy())
  socket.on('data', (text: string) => {
    try {
      for (const request of lines.take(text)) {
        socket.write(`${JSON.stringify(answerTo(request, answer))}\n`)
      }
    } catch (error) {
      socket.end(`${JSON.stringify({ type: 'error', message: messageOf(error) })}\n`)
    }
  })
}

function answerTo(request: unknown, answer: (request: ControlRequest) => ControlReply): ControlReply {
  if (typeof request !== 'object' || request === null || !('type' in request)) {
    return { type: 'error', message: 'A request needs a type.' }
  }
  return answer(request as ControlRequest)
}
