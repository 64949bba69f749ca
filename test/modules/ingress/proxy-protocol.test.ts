import { once } from 'node:events'
import { connect as connectHttp2 } from 'node:http2'
import { connect as connectTcp } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { test } from 'tap'
import type { Test } from 'tap'
import { parseProxyHeader } from '../../../src/ingress/connections/proxy-protocol.ts'
import { makeCertificate } from '../../support/certificate.ts'
import {
  bodyOf,
  closedPort,
  eventually,
  exchangeRaw,
  get,
  HOST,
  type ProxyOptions,
  RawClient,
  route,
  type RunningProxy,
  startProxy,
  startReplica,
} from './proxy-fixture.ts'

const SIGNATURE = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1')

/** A header of version 2 with these addresses and 7 bytes of other news. */
function binary(command: number, family: number, addresses: number[]): Buffer {
  const size = Buffer.alloc(2)
  size.writeUInt16BE(addresses.length + 7)
  return Buffer.concat([
    SIGNATURE,
    Buffer.from([command, family]),
    size,
    Buffer.from(addresses),
    Buffer.alloc(7, 4),
  ])
}

const IPV4 = [203, 0, 113, 7, 192, 0, 2, 1, 0x30, 0x39, 0, 80]
const IPV6 = [0x20, 1, 0x0d, 0xb8, ...zeros(11), 1, ...zeros(16), 1, 2, 0, 80]

function zeros(count: number): number[] {
  return Array<number>(count).fill(0)
}

async function start(t: Test, options: ProxyOptions = {}): Promise<RunningProxy> {
  const replica = await startReplica(t, (request, response) => {
    response.end(
      `${String(request.headers['x-forwarded-for'])} ${String(request.headers['x-forwarded-proto'])}`,
    )
  })
  const proxy = await startProxy(t, { proxyProtocolPeers: ['127.0.0.1'], ...options })
  proxy.publish(route(HOST, replica))
  return proxy
}

test('headers of both versions are read, and nothing else is taken for one', async (t) => {
  const text = 'PROXY TCP4 203.0.113.7 192.0.2.1 12345 80\r\n'
  t.same(parseProxyHeader(Buffer.from(`${text}GET`)), { address: '203.0.113.7', length: text.length })
  t.match(parseProxyHeader(Buffer.from('PROXY TCP6 2001:db8::1 ::1 1 2\r\n')), { address: '2001:db8::1' })
  t.same(parseProxyHeader(Buffer.from('PROXY UNKNOWN what ever\r\n')), { address: undefined, length: 25 })
  t.match(parseProxyHeader(binary(0x21, 0x11, IPV4)), { address: '203.0.113.7', length: 35 })
  t.match(parseProxyHeader(binary(0x21, 0x21, IPV6)), { address: '2001:db8::1', length: 59 })
  t.match(parseProxyHeader(binary(0x20, 0x00, [])), { address: undefined, length: 23 })
  for (const whole of [Buffer.from(text), binary(0x21, 0x11, IPV4)])
    for (let length = 0; length < whole.length; length += 1)
      t.equal(parseProxyHeader(whole.subarray(0, length)), 'more')
  for (const wrong of [
    'GET / HTTP/1.1\r\n\r\n',
    'PROXY TCP4 2001:db8::1 192.0.2.1 1 2\r\n',
    'PROXY TCP4 203.0.113.7 192.0.2.1 1\r\n',
    'PROXY TCP4 203.0.113.7 192.0.2.1 1 65536\r\n',
    'PROXY TCP4 203.0.113.7 192.0.2.1 01 2\r\n',
    'PROXY TCP5 203.0.113.7 192.0.2.1 1 2\r\n',
    `PROXY TCP4 ${'1'.repeat(120)}`,
  ])
    t.equal(parseProxyHeader(Buffer.from(wrong)), undefined, wrong)
  t.equal(parseProxyHeader(binary(0x31, 0x11, IPV4)), undefined, 'another version')
  t.equal(parseProxyHeader(binary(0x21, 0x21, IPV4)), undefined, 'too short for its family')
  const endless = binary(0x21, 0x11, IPV4)
  endless.writeUInt16BE(60_000, 14)
  t.equal(parseProxyHeader(endless), undefined)
})

test('applications learn the client that a listed load balancer names, in one piece or in many', async (t) => {
  const { port } = await start(t)
  t.equal(
    bodyOf(await exchangeRaw(t, port, `PROXY TCP4 203.0.113.7 192.0.2.1 1 2\r\n${get('/')}`)),
    '203.0.113.7 http',
  )
  const client = await RawClient.open(t, port)
  for (const byte of `PROXY TCP6 2001:db8::1 ::1 1 2\r\n${get('/')}`) {
    client.send(byte)
    await new Promise((resolve) => client.socket.write('', resolve))
  }
  t.equal(bodyOf(await client.rest()), '2001:db8::1 http')
  const local = await exchangeRaw(t, port, `${binary(0x20, 0, []).toString('latin1')}${get('/')}`)
  t.equal(bodyOf(local), '127.0.0.1 http')
})

test('TLS comes behind the header', async (t) => {
  const pair = await makeCertificate(HOST)
  const { tlsPort } = await start(t, { certificates: { [HOST]: pair } })
  const socket = connectTcp(tlsPort, '127.0.0.1')
  await once(socket, 'connect')
  socket.write(binary(0x21, 0x11, IPV4))
  const secure = connectTls({ socket, servername: HOST, ca: pair.chain_pem })
  await once(secure, 'secureConnect')
  let text = ''
  secure.on('data', (piece: Buffer) => (text += piece.toString('latin1')))
  secure.write(get('/'))
  await once(secure, 'end')
  t.equal(bodyOf(text), '203.0.113.7 https')
  socket.destroy()
})

test('an HTTP/2 client behind a load balancer that leaves is noticed', async (t) => {
  const pair = await makeCertificate(HOST)
  let [isAsked, hasLeft] = [false, false]
  const replica = await startReplica(t, (_, response) => {
    isAsked = true
    response.on('close', () => {
      hasLeft = true
    })
  })
  const proxy = await startProxy(t, { proxyProtocolPeers: ['127.0.0.1'], certificates: { [HOST]: pair } })
  proxy.publish(route(HOST, replica))
  const socket = connectTcp(proxy.tlsPort, '127.0.0.1')
  await once(socket, 'connect')
  socket.write(binary(0x21, 0x11, IPV4))
  const secure = connectTls({ socket, servername: HOST, ca: pair.chain_pem, ALPNProtocols: ['h2'] })
  await once(secure, 'secureConnect')
  const session = connectHttp2(`https://${HOST}`, { createConnection: () => secure })
  session.on('error', () => {})
  const stream = session.request({ ':path': '/' })
  stream.on('error', () => {})
  stream.end()
  await eventually(() => isAsked)
  // Without a word of TLS or HTTP/2 before it.
  socket.end()
  await eventually(() => hasLeft)
  t.ok(hasLeft)
  socket.destroy()
})

test('a listed peer that sends none is cut off, a slow one too, and others are not asked', async (t) => {
  const { port, context } = await start(t, { limits: { request_head_ms: 200 } })
  const without = await RawClient.open(t, port)
  without.send(get('/'))
  t.equal(await without.rest(), '')
  const slow = await RawClient.open(t, port)
  slow.send('PROXY TCP4 ')
  t.equal(await slow.rest(), '')
  t.equal(context.counters.requests, 0)
  const { port: other } = await start(t, {
    proxyProtocolPeers: ['192.0.2.0/24'],
    limits: { request_head_ms: 200 },
  })
  t.equal(bodyOf(await exchangeRaw(t, other, get('/'))), '127.0.0.1 http')
  t.match(
    await exchangeRaw(t, other, `PROXY TCP4 203.0.113.7 192.0.2.1 1 2\r\n${get('/')}`),
    /^HTTP\/1\.1 400 /,
  )
  const late = await RawClient.open(t, other)
  late.send('GET / HTTP/1.1\r\n')
  t.match(await late.rest(), /^HTTP\/1\.1 408 /, 'slow requests are bounded as ever')
})

test('one port of a load balancer may lead to both of ours at the same time', async (t) => {
  const pair = await makeCertificate(HOST)
  const { port, tlsPort, proxy } = await start(t, { certificates: { [HOST]: pair } })
  // Both must say which port of theirs they take, so that the kernel lets them share it.
  const from = { host: '127.0.0.1', localPort: await closedPort() }
  const socket = connectTcp({ ...from, port: tlsPort })
  t.teardown(() => socket.destroy())
  await once(socket, 'connect')
  socket.write('PROXY TCP4 203.0.113.8 192.0.2.1 1 2\r\n')
  await eventually(() => proxy.openConnections() === 1)
  const plain = connectTcp({ ...from, port })
  let text = ''
  plain.on('data', (piece: Buffer) => (text += piece.toString('latin1')))
  plain.write(`PROXY TCP4 203.0.113.7 192.0.2.1 1 2\r\n${get('/')}`)
  await once(plain, 'close')
  t.equal(bodyOf(text), '203.0.113.7 http')
  await eventually(() => proxy.openConnections() === 1)
  const secure = connectTls({ socket, servername: HOST, ca: pair.chain_pem })
  let answer = ''
  secure.on('data', (piece: Buffer) => (answer += piece.toString('latin1')))
  secure.write(get('/'))
  await once(secure, 'end')
  t.equal(bodyOf(answer), '203.0.113.8 https')
})
