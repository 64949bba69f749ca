import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { type ClientHttp2Session, type ClientHttp2Stream, connect, constants } from 'node:http2'
import type { Socket } from 'node:net'
import { test } from 'tap'
import type { Test } from 'tap'
import { makeCertificate } from '../../support/certificate.ts'
import {
  eventually,
  HOST,
  type ProxyOptions,
  route,
  type RunningProxy,
  startProxy,
  startRawReplica,
} from './proxy-fixture.ts'

const certificate = makeCertificate(HOST)

async function start(t: Test, options: ProxyOptions = {}) {
  const pair = await certificate
  const proxy = await startProxy(t, { ...options, certificates: { [HOST]: pair } })
  const session = connect(`https://${HOST}:${proxy.tlsPort}`, {
    ca: pair.chain_pem,
    lookup: (_name, _options, done) => done(null, [{ address: '127.0.0.1', family: 4 }] as never, 4),
  })
  session.on('error', () => {})
  t.teardown(() => session.destroy())
  const [settings] = (await once(session, 'remoteSettings')) as [{ enableConnectProtocol?: boolean }]
  t.equal(settings.enableConnectProtocol, true, 'clients are told that they may')
  return { ...proxy, session }
}

/** Asks for a WebSocket as browsers do (RFC 8441, section 5.1). */
function openSocket(
  session: ClientHttp2Session,
  fields: Record<string, string> = {},
  endStream = false,
): ClientHttp2Stream {
  const head = { ':method': 'CONNECT', ':protocol': 'websocket', ':path': '/socket?x=1' }
  const rest = { 'sec-websocket-version': '13', 'sec-websocket-protocol': 'chat', origin: `https://${HOST}` }
  const stream = session.request({ ...head, ...rest, ...fields }, { endStream })
  stream.on('error', () => {})
  return stream
}

async function statusOf(stream: ClientHttp2Stream): Promise<unknown> {
  const [headers] = (await once(stream, 'response')) as [Record<string, unknown>]
  return headers[':status']
}

/** Everything that is said from now on, with what ended it. */
function listen(stream: ClientHttp2Stream) {
  const heard = { text: '', ended: false, closed: false }
  stream.setEncoding('latin1')
  stream.on('data', (piece: string) => (heard.text += piece))
  stream.on('end', () => (heard.ended = stream.rstCode === constants.NGHTTP2_NO_ERROR))
  stream.on('close', () => (heard.closed = true))
  return heard
}

/** A WebSocket server's answer to a handshake (RFC 6455, section 4.2.2). */
function switchFor(head: string, more = ''): string {
  const key = /\r\nSec-WebSocket-Key: ([^\r]*)\r\n/.exec(head)?.[1] ?? ''
  const accept = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64')
  return `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n${more}\r\n`
}

/** Takes the handshake, and gives what comes afterwards to `serve`. */
function startEcho(t: Test, seen: string[], serve: (socket: Socket) => void): Promise<number> {
  return startRawReplica(t, (socket) => {
    socket.allowHalfOpen = true
    socket.once('data', (piece: Buffer) => {
      seen.push(piece.toString('latin1'))
      socket.write(`${switchFor(seen.at(-1) ?? '', 'Sec-WebSocket-Protocol: chat\r\n')}welcome:`)
      serve(socket)
    })
  })
}

const idle = ({ context }: RunningProxy): boolean => context.routes.loads().length === 0

test('a WebSocket by HTTP/2 reaches an application of HTTP/1, and passes bytes and ends both ways', async (t) => {
  const seen: string[] = []
  const replica = await startEcho(t, seen, (socket) => {
    socket.on('data', (piece: Buffer) => socket.write(piece.toString('latin1').toUpperCase()))
    socket.on('end', () => setImmediate(() => socket.end(' last words')))
  })
  // What bounds the end of a request bounds no WebSocket.
  const scene = await start(t, { limits: { client_stall_ms: 60, client_keep_alive_ms: 60 } })
  const { publish, session, context } = scene
  publish(route(HOST, replica))
  const stream = openSocket(session, { 'sec-websocket-key': 'of-nobody', cookie: 'a=b' })
  const heard = listen(stream)
  stream.write('early')
  const [headers] = (await once(stream, 'response')) as [Record<string, unknown>]
  t.match(headers, { ':status': 200, 'sec-websocket-protocol': 'chat' })
  t.equal(headers['sec-websocket-accept'], undefined)
  t.equal(headers['connection'], undefined)
  await eventually(() => heard.text === 'welcome:EARLY')
  t.match(seen[0], /^GET \/socket\?x=1 HTTP\/1\.1\r\nHost: app\.demo\.localhost/)
  t.match(seen[0], /\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n/)
  t.match(seen[0], /\r\nsec-websocket-protocol: chat\r\n/)
  t.match(seen[0], /\r\nX-Forwarded-Proto: https\r\n/)
  t.equal(seen[0]?.match(/sec-websocket-key/gi)?.length, 1, 'the key is the ingress’s own')
  t.notMatch(seen[0], /of-nobody|:protocol/)
  t.same(context.routes.loads(), [{ id: `replica-${replica}`, requests: 0, upgraded: 1 }])
  const { now } = context.clock
  await eventually(() => context.clock.now > now + 300)
  stream.write(' later')
  await eventually(() => heard.text === 'welcome:EARLY LATER')
  stream.end()
  await eventually(() => heard.closed)
  t.equal(heard.text, 'welcome:EARLY LATER last words')
  t.ok(heard.ended, 'a clean end')
  await eventually(() => idle(scene))
  const { entries } = context.access.take(10)
  t.match(entries, [{ method: 'GET', path: '/socket', status: 101 }], 'it is logged as one by HTTP/1')
  t.equal(context.counters.exceptions, 0)
})

test('a WebSocket by HTTP/2 outlives the end of ordinary requests, and is reset at its own bound', async (t) => {
  const replica = await startEcho(t, [], (socket) => socket.pipe(socket))
  const { publish, session, proxy, context } = await start(t)
  publish(route(HOST, replica), { ...route('held.example'), hold_ms: 60_000 })
  const stream = openSocket(session)
  const heard = listen(stream)
  t.equal(await statusOf(stream), 200)
  publish({ ...route(HOST), hold_ms: 60_000 })
  const ordinary = session.request({ ':path': '/' })
  ordinary.on('error', () => {})
  const request = listen(ordinary)
  await eventually(() => context.holds.counts().length === 1)
  proxy.beginDrain()
  proxy.closeIdle()
  proxy.closeRequests()
  await eventually(() => request.closed)
  stream.write('still')
  await eventually(() => heard.text === 'welcome:still')
  t.equal(proxy.openConnections(), 1)
  proxy.closeUpgraded()
  await eventually(() => heard.closed)
  t.notOk(heard.ended, 'reset, not ended')
  proxy.closeRequests()
  await eventually(() => proxy.openConnections() === 0)
  t.equal(context.counters.exceptions, 0)
})

/** Answers to the handshake, and what the client is told: never a success, which would be a tunnel. */
const REFUSALS: [name: string, answer: (head: string) => string, status: number][] = [
  ['a page', () => 'HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\npage', 502],
  ['no content', () => 'HTTP/1.1 204 No Content\r\n\r\n', 502],
  ['a refusal', () => 'HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno', 403],
  ['a redirect', () => 'HTTP/1.1 302 Found\r\nLocation: /login\r\nContent-Length: 0\r\n\r\n', 302],
  ['an accept of another key', () => switchFor(''), 502],
  ['another protocol', (head) => switchFor(head).replace('Upgrade: websocket', 'Upgrade: h2c'), 502],
]
/** Requests that open none, whatever the application would say. */
const REQUESTS: [name: string, fields: Record<string, string>, endStream: boolean, status: number][] = [
  ['another protocol', { ':protocol': 'connect-udp' }, false, 501],
  ['a client that has ended before it began', {}, true, 400],
  ['a length', { 'content-length': '5' }, false, 400],
  ['an unknown host', { ':authority': 'nowhere.example' }, false, 421],
  ['a path that a rule closes', { ':path': '/closed' }, false, 302],
]

test('what opens no WebSocket is no tunnel', async (t) => {
  let reached = 0
  const scene = await start(t)
  const { publish, session, context } = scene
  const redirects = [{ path: '/closed', exact: false, to: 'https://example.com/', status: 302 }]
  for (const [name, answer, status] of REFUSALS) {
    const replica = await startRawReplica(t, (socket) => {
      reached += 1
      socket.once('data', (piece: Buffer) => socket.write(answer(piece.toString('latin1'))))
    })
    publish({ ...route(HOST, replica), rules: { redirects } })
    const stream = openSocket(session)
    listen(stream)
    t.equal(await statusOf(stream), status, name)
    stream.end()
    await eventually(() => stream.closed && idle(scene))
  }
  for (const [name, fields, endStream, status] of REQUESTS) {
    const stream = openSocket(session, fields, endStream)
    listen(stream)
    t.equal(await statusOf(stream), status, name)
    stream.end()
    await eventually(() => stream.closed)
  }
  t.equal(reached, REFUSALS.length)
  t.equal(context.counters.upgrades, 0)
  t.equal(context.counters.exceptions, 0)
})

test('who goes is missed on the other side, and who does not read is held back', async (t) => {
  const sockets: Socket[] = []
  let sent = 0
  const flood = Buffer.alloc(64 * 1024)
  const replica = await startEcho(t, [], (socket) => {
    sockets.push(socket)
    socket.on('data', (piece: Buffer) => {
      if (piece.toString() !== 'flood') return
      const more = (): void => {
        socket.write(flood, (error) => {
          sent += flood.length
          if (!error && sent < 64 * 1024 * 1024) more()
        })
      }
      more()
    })
  })
  const scene = await start(t)
  const { publish, session } = scene
  publish(route(HOST, replica))
  const lost = openSocket(session)
  const heard = listen(lost)
  await eventually(() => heard.text === 'welcome:')
  sockets[0]?.resetAndDestroy()
  await eventually(() => heard.closed)
  t.notOk(heard.ended, 'an application that dies resets its WebSockets')

  const leaving = openSocket(session)
  t.equal(await statusOf(leaving), 200)
  leaving.close(constants.NGHTTP2_CANCEL)
  await eventually(() => sockets[1]?.destroyed === true || sockets[1]?.readableEnded === true)
  await eventually(() => idle(scene))

  const stalled = openSocket(session)
  t.equal(await statusOf(stalled), 200)
  stalled.write('flood')
  let before = -1
  let looks = 0
  await eventually(() => {
    looks = sent === before ? looks + 1 : 0
    before = sent
    return sent > 0 && looks > 40
  })
  t.ok(sent < 32 * 1024 * 1024, `${sent} bytes were taken`)
  stalled.resume()
  await eventually(() => sent > before + 4 * 1024 * 1024)
})
