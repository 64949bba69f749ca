import { getEventListeners } from 'node:events'
import { createServer, type RequestListener } from 'node:http'
import { type AddressInfo, createServer as createTcpServer, type Socket } from 'node:net'
import { test, type Test } from 'tap'
import { isAccepted, probe } from '../../../src/modules/replicas/health-probe.ts'
import { createSystem } from '../../../src/lib/system.ts'
import { waitFor } from '../../support/wait.ts'
import { createHurriedSystem } from '../../support/hurried-system.ts'

const system = createSystem()
const HTTP = { path: '/health?deep=1', statuses: '200-399' }
const TCP = { path: null, statuses: '200-399' }
const never = (): AbortSignal => new AbortController().signal

async function listen(t: Test, server: ReturnType<typeof createTcpServer>): Promise<number> {
  const sockets = new Set<Socket>()
  server.on('connection', (socket: Socket) => sockets.add(socket))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(async () => {
    for (const socket of sockets) socket.destroy()
    await new Promise((resolve) => server.close(resolve))
  })
  return (server.address() as AddressInfo).port
}

const target = (port: number) => ({ address: '127.0.0.1', port, hostname: 'web.shop.localhost' })
const http = async (t: Test, handler: RequestListener) => target(await listen(t, createServer(handler)))
const tcp = async (t: Test, handler: (socket: Socket) => void) =>
  target(await listen(t, createTcpServer(handler)))

const STATUSES: [status: number, accepted: string, ok: boolean][] = [
  [200, '200-399', true],
  [399, '200-399', true],
  [199, '200-399', false],
  [400, '200-399', false],
  [404, '200-399,404', true],
  [404, '200,404', true],
  [403, '200,404', false],
  [204, '204', true],
  [0, '200-399', false],
]

for (const [status, accepted, ok] of STATUSES) {
  test(`status ${status} is ${ok ? '' : 'not '}accepted by ${accepted}`, async (t) => {
    t.equal(isAccepted(status, accepted), ok)
  })
}

test('a probe asks the path as a visitor would', async (t) => {
  let seen: unknown
  const where = await http(t, (request, response) => {
    seen = [request.method, request.url, request.headers.host, request.headers['user-agent']]
    response.end()
  })
  t.same(await probe(where, HTTP, system, never()), { ok: true, seen: 'GET /health?deep=1: 200' })
  t.same(seen, ['GET', '/health?deep=1', 'web.shop.localhost', 'berth-health-check'])
})

for (const [status, ok] of [
  [200, true],
  [302, true],
  [404, false],
  [500, false],
  [503, false],
] as const) {
  test(`an answer of ${status} is ${ok ? 'good' : 'bad'} by default`, async (t) => {
    const where = await http(t, (_, response) => response.writeHead(status, { location: '/elsewhere' }).end())
    t.same(await probe(where, HTTP, system, never()), { ok, seen: `GET /health?deep=1: ${status}` })
  })
}

test('a body without end is not read', async (t) => {
  let closed: Promise<unknown> = Promise.resolve()
  const where = await http(t, (_, response) => {
    closed = new Promise((resolve) => response.once('close', resolve))
    response.writeHead(200)
    const more = (): void =>
      void (response.write('x'.repeat(65_536)) ? setImmediate(more) : response.once('drain', more))
    more()
  })
  t.match(await probe(where, HTTP, system, never()), { ok: true })
  await closed
})

test('an upgrade that nobody asked for is an answer', async (t) => {
  const where = await tcp(t, (socket) => {
    socket.on('error', () => {})
    socket.write('HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n')
  })
  t.same(await probe(where, HTTP, system, never()), { ok: false, seen: 'GET /health?deep=1: 101' })
})

const BROKEN: [title: string, behave: (socket: Socket) => void, seen: RegExp][] = [
  ['hangs up', (socket) => socket.destroy(), /socket hang up|ECONNRESET/],
  ['speaks something else', (socket) => void socket.end('hello\r\n\r\n'), /Parse Error/],
  [
    'sends headers without end',
    (socket) => void socket.write(`HTTP/1.1 200 OK\r\n${`x-filler: ${'y'.repeat(1000)}\r\n`.repeat(200)}`),
    /Parse Error|overflow/i,
  ],
]

for (const [title, behave, seen] of BROKEN) {
  test(`a server that ${title} is not well`, async (t) => {
    const where = await tcp(t, (socket) => {
      socket.on('error', () => {})
      socket.once('data', () => behave(socket))
    })
    const result = await probe(where, HTTP, system, never())
    t.equal(result.ok, false)
    t.match(result.seen, seen)
  })
}

const SLOW: [title: string, behave: (socket: Socket, later: (run: () => void) => void) => void][] = [
  ['never answers', () => {}],
  [
    'answers a byte at a time',
    (socket, later) => {
      const dribble = (): void => {
        if (socket.destroyed) return
        socket.write('x')
        later(dribble)
      }
      socket.write('HTTP/1.1 200 OK\r\nx-slow: ')
      dribble()
    },
  ],
]

for (const [title, behave] of SLOW) {
  test(`a server that ${title} fails after five seconds`, async (t) => {
    const hurried = createHurriedSystem(50)
    const where = await tcp(t, (socket) => {
      socket.on('error', () => {})
      socket.once('data', () => behave(socket, (run) => void hurried.later(500, run)))
    })
    const alive = setInterval(() => {}, 1000)
    const begin = hurried.monotonic()
    t.same(await probe(where, HTTP, hurried, never()), {
      ok: false,
      seen: 'GET /health?deep=1: no answer within 5 s',
    })
    t.ok(hurried.monotonic() - begin >= 4_900, 'it was given its time')
    clearInterval(alive)
  })
}

test('without a path a connection is enough', async (t) => {
  const where = await tcp(t, (socket) => socket.on('error', () => {}))
  t.same(await probe(where, TCP, system, never()), { ok: true, seen: `TCP port ${where.port}: open` })
})

test('a port that nobody listens on is not well', async (t) => {
  const server = createTcpServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  for (const check of [HTTP, TCP]) {
    const result = await probe(target(port), check, system, never())
    t.equal(result.ok, false)
    t.match(result.seen, /ECONNREFUSED/)
  }
})

test('a probe ends at once when it is aborted', async (t) => {
  const where = await http(t, () => {})
  for (const check of [HTTP, { ...TCP }]) {
    const abort = new AbortController()
    abort.abort()
    t.match(await probe(where, check, system, abort.signal), { ok: false })
  }
  const abort = new AbortController()
  const probed = probe(where, HTTP, system, abort.signal)
  setImmediate(() => abort.abort())
  t.match(await probed, { ok: false })
})

test('a thousand probes leave nothing on a signal that lives on', async (t) => {
  const where = await http(t, (_, response) => response.end())
  const { signal } = new AbortController()
  for (let count = 0; count < 200; count += 1) {
    await Promise.all([HTTP, HTTP, TCP, TCP, HTTP].map((check) => probe(where, check, system, signal)))
  }
  await waitFor('all sockets are closed', () => getEventListeners(signal, 'abort').length === 0)
  t.equal(getEventListeners(signal, 'abort').length, 0)
})
