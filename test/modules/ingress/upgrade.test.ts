import { once } from 'node:events'
import { connect as connectTcp, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { test } from 'tap'
import { makeCertificate } from '../../support/certificate.ts'
import {
  eventually,
  gate,
  HOST,
  RawClient,
  route,
  startProxy,
  startRawReplica,
  startReplica,
  statusOf,
} from './proxy-fixture.ts'

const ASK =
  `GET /socket HTTP/1.1\r\nHost: ${HOST}\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n` +
  'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n'
const SWITCH =
  'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n' +
  'Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: chat\r\n\r\n'

/** Switches to another protocol and echoes it in capitals. */
function echo(socket: Socket): void {
  let switched = false
  socket.on('data', (piece: Buffer) => {
    if (switched) socket.write(piece.toString('latin1').toUpperCase())
    else socket.write(`${SWITCH}welcome:`)
    switched = true
  })
}

test('a WebSocket passes in both directions, with what comes right behind both header sections', async (t) => {
  const seen: string[] = []
  const replica = await startRawReplica(t, (socket) => {
    socket.once('data', (piece: Buffer) => seen.push(piece.toString('latin1')))
    echo(socket)
  })
  const { port, publish, context } = await startProxy(t)
  publish(route(HOST, replica))
  const client = await RawClient.open(t, port)
  client.send(`${ASK}early`)
  await client.until((text) => text.endsWith('welcome:EARLY'))
  t.match(client.text, /^HTTP\/1\.1 101 Switching Protocols\r\n/)
  t.match(
    client.text,
    'Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: chat\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n',
  )
  t.match(seen[0], /^GET \/socket HTTP\/1\.1\r\n/)
  t.match(seen[0], 'Connection: Upgrade\r\nUpgrade: websocket\r\n')
  t.match(seen[0], 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n')
  t.match(seen[0], 'X-Forwarded-For: 127.0.0.1\r\n')
  client.send(' more')
  await client.until((text) => text.endsWith(' MORE'))
  t.same(context.routes.loads(), [{ id: `replica-${replica}`, requests: 0, upgraded: 1 }])
  client.socket.end()
  await client.rest()
  await eventually(() => context.routes.loads().length === 0)
})

test('an upgraded connection ends when the application ends it, after the last byte', async (t) => {
  const replica = await startRawReplica(t, (socket) => {
    socket.once('data', () => socket.end(`${SWITCH}${'x'.repeat(1_000_000)}bye`))
  })
  const { port, publish, context } = await startProxy(t)
  publish(route(HOST, replica))
  const client = await RawClient.open(t, port)
  client.send(ASK)
  t.match(await client.rest(), /xbye$/)
  await eventually(() => context.routes.loads().length === 0)
})

test('each side of an upgraded connection may close first', async (t) => {
  const ended = gate()
  const replica = await startRawReplica(t, (socket) => {
    echo(socket)
    socket.on('close', () => ended.open())
  })
  const { port, publish } = await startProxy(t)
  publish(route(HOST, replica))
  const client = await RawClient.open(t, port)
  client.send(ASK)
  await client.until((text) => text.endsWith('welcome:'))
  client.socket.destroy()
  await ended.opened
  t.pass('the application is told')
})

test('an upgraded connection that one side has ended does not stay half open', async (t) => {
  const replica = await startRawReplica(t, (socket) => {
    socket.allowHalfOpen = true
    echo(socket)
  })
  const { port, publish, context } = await startProxy(t, { limits: { half_closed_ms: 100 } })
  publish(route(HOST, replica))
  const client = await RawClient.open(t, port)
  client.send(ASK)
  await client.until((text) => text.endsWith('welcome:'))
  client.socket.end()
  await client.rest()
  await eventually(() => context.routes.loads().length === 0)
})

test('a client that has sent its last still gets what the application says to that, however it came', async (t) => {
  const replica = await startRawReplica(t, (socket) => {
    socket.allowHalfOpen = true
    echo(socket)
    socket.on('end', () => setImmediate(() => socket.end('last words')))
  })
  const pair = await makeCertificate(HOST)
  const direct = await startProxy(t, { certificates: { [HOST]: pair } })
  const behind = await startProxy(t, { certificates: { [HOST]: pair }, proxyProtocolPeers: ['127.0.0.1'] })
  for (const each of [direct, behind]) each.publish(route(HOST, replica))
  const header = 'PROXY TCP4 203.0.113.7 192.0.2.1 1 2\r\n'
  const ways: [name: string, port: number, header: string, secure: boolean][] = [
    ['plain', direct.port, '', false],
    ['TLS', direct.tlsPort, '', true],
    ['PROXY', behind.port, header, false],
    ['PROXY and TLS', behind.tlsPort, header, true],
  ]
  for (const [name, port, header, secure] of ways) {
    const socket = connectTcp({ port, host: '127.0.0.1', allowHalfOpen: true })
    t.teardown(() => socket.destroy())
    await once(socket, 'connect')
    socket.write(header)
    const client = secure ? connectTls({ socket, servername: HOST, ca: pair.chain_pem }) : socket
    client.allowHalfOpen = true
    let text = ''
    client.setEncoding('latin1').on('data', (piece: string) => (text += piece))
    client.write(ASK)
    await eventually(() => text.endsWith('welcome:'))
    client.end()
    await once(client, 'end')
    t.match(text, /last words$/, name)
  }
  await eventually(() => direct.context.routes.loads().length + behind.context.routes.loads().length === 0)
})

test('an application that does not upgrade answers as to any request', async (t) => {
  const replica = await startReplica(t, (request, response) => {
    response.writeHead(426, { 'content-type': 'text/plain' })
    response.write('no ')
    response.end(`upgrade ${request.headers.upgrade}`)
  })
  const { port, publish, context } = await startProxy(t)
  publish(route(HOST, replica))
  const client = await RawClient.open(t, port)
  client.send(ASK)
  const response = await client.rest()
  t.equal(statusOf(response), 426)
  t.match(response, /Connection: close\r\n/i)
  t.match(response, /no .*upgrade websocket/s)
  t.same(context.routes.loads(), [])
})

test('a large answer to an upgrade that is not one streams with back-pressure', async (t) => {
  const size = 8 * 1024 * 1024
  const replica = await startReplica(t, (_request, response) => {
    response.writeHead(200, { 'content-length': size })
    response.end(Buffer.alloc(size, 'x'))
  })
  const { port, publish } = await startProxy(t)
  publish(route(HOST, replica))
  const client = await RawClient.open(t, port)
  client.send(ASK)
  const response = await client.rest()
  t.equal(response.length - response.indexOf('\r\n\r\n') - 4, size)
})

test('a switch to another protocol than the one asked for is refused', async (t) => {
  for (const header of ['Upgrade: h2c\r\n', '']) {
    const replica = await startRawReplica(t, (socket) => {
      socket.once('data', () =>
        socket.write(`HTTP/1.1 101 Switching Protocols\r\n${header}Connection: Upgrade\r\n\r\n`),
      )
    })
    const { port, publish } = await startProxy(t)
    publish(route(HOST, replica))
    const client = await RawClient.open(t, port)
    client.send(ASK)
    t.equal(statusOf(await client.rest()), 502)
  }
})

test('an upgrade to an unknown host, or without a replica, gets the page and the end', async (t) => {
  const { port, publish } = await startProxy(t)
  publish(route(HOST), route('other.localhost', 1))
  for (const [text, status] of [
    [ASK, 503],
    [ASK.replace(HOST, 'unknown.localhost'), 404],
    [ASK.replace('HTTP/1.1\r\n', 'HTTP/1.1\r\nHost: x\r\n'), 400],
  ] as const) {
    const client = await RawClient.open(t, port)
    client.send(text)
    t.equal(statusOf(await client.rest()), status)
  }
})

test('an idle WebSocket keeps no large buffer, whatever has passed through it', async (t) => {
  const LENGTH = 300_000
  const received = [0, 0]
  let application: Socket | undefined
  const replica = await startRawReplica(t, (socket) => {
    application = socket
    socket.once('data', () => {
      socket.on('data', (piece: Buffer) => (received[0] = (received[0] ?? 0) + piece.length))
      socket.write(SWITCH)
    })
  })
  const { port, publish, context } = await startProxy(t)
  publish(route(HOST, replica))
  const client = await RawClient.open(t, port)
  client.send(ASK)
  await client.until((text) => text.includes('\r\n\r\n'))
  const borrow = t.capture(context.readBuffers, 'borrow', context.readBuffers.borrow)
  client.socket.on('data', (piece: string) => (received[1] = (received[1] ?? 0) + piece.length))
  client.socket.write(Buffer.alloc(LENGTH))
  application?.write(Buffer.alloc(LENGTH))
  await eventually(() => received[0] === LENGTH && received[1] === LENGTH)
  t.ok(borrow().length > 0, 'they are used while much comes at once')
  t.equal(context.readBuffers.lent, 0)
})

test('an upgraded connection that one side does not read is held back', async (t) => {
  let sent = 0
  const replica = await startRawReplica(t, (socket) => {
    socket.once('data', () => {
      socket.write(SWITCH)
      const block = Buffer.alloc(256 * 1024)
      const more = (): void => {
        socket.write(block, (error) => {
          sent += block.length
          if (!error) more()
        })
      }
      more()
    })
  })
  const { port, publish } = await startProxy(t)
  publish(route(HOST, replica))
  const client = await RawClient.open(t, port)
  client.send(ASK)
  await client.until((text) => text.includes('\r\n\r\n'))
  client.socket.pause()
  let before = -1
  let looks = 0
  await eventually(() => {
    looks = sent === before ? looks + 1 : 0
    before = sent
    return looks > 60
  })
  t.ok(sent < 64 * 1024 * 1024, `${sent} bytes were taken`)
  client.socket.resume()
  await eventually(() => sent > before + 8 * 1024 * 1024)
})
