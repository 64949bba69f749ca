import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'

/** Gives a stream the `setTimeout` and the event 'timeout' of the socket behind it, as net.Socket has them; Node's HTTP server ends idle connections by these. */
export function followTimeout(stream: Duplex, socket: Socket): void {
  socket.on('timeout', () => stream.emit('timeout'))
  Object.assign(stream, {
    setTimeout: (ms: number, callback?: () => void): Duplex => {
      socket.setTimeout(ms)
      if (callback) stream.once('timeout', callback)
      return stream
    },
  })
}
