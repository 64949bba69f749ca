import { connect, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { fields, Flag, frame, FrameType } from '../../modules/ingress/http2-frames.ts'
import { system } from './bench-process.ts'
import { type Scenario, SMALL, untilRelaxed } from './bench-scenarios.ts'
import type { Target } from './bench-targets.ts'

const HOST = 'localhost'
const SLOW_CLIENTS = 100
const SLOW_BYTE_MS = 1000
/** Requests that two parsers could frame differently, each by a connection of its own. */
const FAULTY_EVERY_MS = 20
const FAULTY = [
  'Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG',
  'Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!',
  'Transfer-Encoding: chunked\r\n\r\nxyz\r\nhello\r\n0\r\n\r\n',
  `X-Long: ${'x'.repeat(70_000)}\r\n\r\n`,
]
/** Streams that are opened and reset by one connection, again and again. */
const RESETS_EVERY_MS = 250
const RESETS = 200

/** What legitimate clients notice of attacks. */
export const ATTACKED: Scenario = {
  name: 'the same beside attacks',
  unit: 'requests',
  measure: async (target, seconds) => {
    const stop = startAttacks(target)
    try {
      return await SMALL.measure(target, seconds)
    } finally {
      stop()
      await untilRelaxed(target)
    }
  },
}

/** Attacks a proxy at a steady rate, as the attacks of the tests do: slow headers, faulty framing, rapid resets. The result ends it. */
function startAttacks(target: Target): () => void {
  const open = new Set<Socket>()
  const ending = new AbortController()
  const keep = <S extends Socket>(socket: S): S => {
    open.add(socket)
    socket.on('error', () => {})
    socket.on('close', () => open.delete(socket))
    socket.resume()
    return socket
  }
  const plain = (text: string): Socket => {
    const socket = keep(connect(target.port, '127.0.0.1'))
    socket.write(text)
    return socket
  }
  const again = async (everyMs: number, attack: (round: number) => void): Promise<void> => {
    for (let round = 0; !ending.signal.aborted; round += 1) {
      attack(round)
      await system.sleep(everyMs, ending.signal).catch(() => {})
    }
  }
  const slow: Socket[] = []
  void again(SLOW_BYTE_MS, () => {
    while (slow.length < SLOW_CLIENTS) slow.push(plain('GET / HTTP/1.1\r\nX-Slow: '))
    for (const [index, socket] of slow.entries()) {
      if (socket.destroyed) slow.splice(index, 1)
      else socket.write('x')
    }
  })
  void again(FAULTY_EVERY_MS, (round) => {
    const socket = plain(`POST / HTTP/1.1\r\nHost: ${HOST}\r\n${FAULTY[round % FAULTY.length]}`)
    void system.sleep(1000).then(() => socket.destroy())
  })
  const resets = rapidResets()
  void again(RESETS_EVERY_MS, () => {
    const { tlsPort: port } = target
    const options = { host: '127.0.0.1', port, servername: HOST, ALPNProtocols: ['h2'] }
    const socket = keep(connectTls({ ...options, rejectUnauthorized: false }))
    socket.once('secureConnect', () => socket.write(resets))
    void system.sleep(1000).then(() => socket.destroy())
  })
  return () => {
    ending.abort()
    for (const socket of open) socket.destroy()
  }
}

function rapidResets(): Buffer {
  const request = fields([':method', 'GET'], [':scheme', 'https'], [':path', '/'], [':authority', HOST])
  const cancel = Buffer.from([0, 0, 0, 8])
  const pairs = Array.from({ length: RESETS }, (_, index) => [
    frame(FrameType.headers, Flag.endHeaders | Flag.endStream, 2 * index + 1, request),
    frame(FrameType.reset, 0, 2 * index + 1, cancel),
  ])
  const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')
  return Buffer.concat([preface, frame(FrameType.settings, 0, 0), ...pairs.flat()])
}
