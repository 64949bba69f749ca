import type { IncomingMessage } from 'node:http'
import { connect } from 'node:net'
import { test } from 'tap'
import type { Test } from 'tap'
import { createSystem } from '../../../src/lib/system.ts'
import { makeCertificate } from '../../support/certificate.ts'
import { fields, Flag, frame, FrameClient, FrameType } from './http2-frames.ts'
import {
  bodyOf,
  eventually,
  exchangeRaw,
  get,
  HOST,
  route,
  type RunningProxy,
  startProxy,
  startRawReplica,
  startReplica,
} from './proxy-fixture.ts'

const certificate = makeCertificate(HOST)
const { headers, data, continuation, reset, settings, ping, windowUpdate, priority } = FrameType
const WHOLE = Flag.endStream | Flag.endHeaders

interface Scene extends RunningProxy {
  /** What applications got from attackers: legitimate requests have a path of their own. */
  seen: string[]
  attacker: FrameClient
}

async function setScene(t: Test): Promise<Scene> {
  const seen: string[] = []
  const replica = await startReplica(t, (request: IncomingMessage, response) => {
    if (request.url !== '/fine') seen.push(`${request.method} ${request.url} ${request.rawHeaders.join('|')}`)
    request.resume()
    request.on('end', () => response.end('fine'))
  })
  const proxy = await startProxy(t, {
    certificates: { [HOST]: await certificate },
    limits: { request_head_ms: 600, client_keep_alive_ms: 600 },
  })
  proxy.publish(route(HOST, replica))
  return { ...proxy, seen, attacker: await FrameClient.open(t, proxy.tlsPort, HOST) }
}

function request(...more: [string, string][]): Buffer {
  return fields([':method', 'GET'], [':scheme', 'https'], [':path', '/attack'], [':authority', HOST], ...more)
}

/** Runs an attack beside clients who mean well: each of them is answered, and the worker contains no exception. */
async function besideLegitimate(t: Test, scene: Scene, attack: () => Promise<unknown>): Promise<void> {
  const system = createSystem()
  const over = new AbortController()
  const attacking = attack().finally(() => over.abort())
  let answered = 0
  for (let count = 0; count < 20 || !over.signal.aborted; count += 1) {
    t.equal(bodyOf(await exchangeRaw(t, scene.port, get('/fine'))), 'fine')
    answered += 1
    await system.sleep(1)
  }
  await attacking
  t.ok(answered >= 20)
  t.equal(scene.context.counters.exceptions, 0)
}

const FAULTY: [name: string, block: Buffer][] = [
  ['a name in capitals', request(['X-Upper', 'x'])],
  ['Transfer-Encoding', request(['transfer-encoding', 'chunked'])],
  ['Connection', request(['connection', 'x-forwarded-for'])],
  ['Upgrade', request(['upgrade', 'h2c'])],
  ['TE other than trailers', request(['te', 'gzip'])],
  ['a length without a body', request(['content-length', '5'])],
  ['two lengths', request(['content-length', '0'], ['content-length', '0'])],
  ['a length that is no number', request(['content-length', '+0'])],
  ['another Host', request(['host', 'other.example'])],
  [
    'a pseudo field behind others',
    fields(
      [':method', 'GET'],
      ['x-a', 'b'],
      [':scheme', 'https'],
      [':path', '/attack'],
      [':authority', HOST],
    ),
  ],
  ['two paths', request([':path', '/other'])],
  ['an unknown pseudo field', request([':admin', 'true'])],
  ['no path', fields([':method', 'GET'], [':scheme', 'https'], [':authority', HOST])],
  ['an empty path', fields([':method', 'GET'], [':scheme', 'https'], [':path', ''], [':authority', HOST])],
  [
    'a path that splits the request',
    fields(
      [':method', 'GET'],
      [':scheme', 'https'],
      [':path', '/ HTTP/1.1\r\nHost: x\r\n\r\nGET /'],
      [':authority', HOST],
    ),
  ],
  [
    'a path with a blank',
    fields([':method', 'GET'], [':scheme', 'https'], [':path', '/a b'], [':authority', HOST]),
  ],
  [
    'a path with a fragment',
    fields([':method', 'GET'], [':scheme', 'https'], [':path', '/a#b'], [':authority', HOST]),
  ],
  [
    'a method that splits the request',
    fields(
      [':method', 'GET / HTTP/1.1\r\nX: '],
      [':scheme', 'https'],
      [':path', '/attack'],
      [':authority', HOST],
    ),
  ],
  [
    'an authority with a path',
    fields([':method', 'GET'], [':scheme', 'https'], [':path', '/attack'], [':authority', `${HOST}/x`]),
  ],
  ['CONNECT', fields([':method', 'CONNECT'], [':authority', `${HOST}:443`])],
  ['TRACE', fields([':method', 'TRACE'], [':scheme', 'https'], [':path', '/attack'], [':authority', HOST])],
  ['a compressed index that does not exist', Buffer.from([0xff, 0xff, 0xff, 0x7f])],
]

/** nghttp2 leaves such fields out and lets the rest of the request through: the field reaches nobody. */
const DROPPED: [name: string, block: Buffer][] = [
  ['a line break in a value', request(['x-a', 'b\r\nTransfer-Encoding: chunked'])],
  ['a NUL in a value', request(['x-a', 'b\0c'])],
  ['a line break in a name', request(['x-a\r\nx-b', 'c'])],
  ['a colon in a name', request(['x-a:b', 'c'])],
  ['an empty name', request(['', 'c'])],
]

test('a field that could be read in two ways is left out', async (t) => {
  const scene = await setScene(t)
  for (const [name, block] of DROPPED) {
    const attacker = await FrameClient.open(t, scene.tlsPort, HOST)
    attacker.send(frame(headers, WHOLE, 1, block))
    await eventually(() => attacker.closed || attacker.count(reset, 1) + attacker.count(headers, 1) > 0)
    const seen = scene.seen.splice(0).join()
    t.notMatch(seen, /x-a|x-b|Transfer-Encoding/i, name)
    t.ok(seen.split('GET').length <= 2, 'not twice')
    attacker.socket.destroy()
  }
})

test('no faulty field section reaches an application', async (t) => {
  const scene = await setScene(t)
  for (const [name, block] of FAULTY) {
    const attacker = await FrameClient.open(t, scene.tlsPort, HOST)
    attacker.send(frame(headers, WHOLE, 1, block))
    await eventually(
      () =>
        attacker.closed ||
        attacker.count(reset, 1) + attacker.count(headers, 1) + attacker.count(FrameType.goaway) > 0,
    )
    t.same(scene.seen, [], name)
    attacker.socket.destroy()
  }
  t.equal(bodyOf(await exchangeRaw(t, scene.port, get('/fine'))), 'fine')
  t.equal(scene.context.counters.exceptions, 0)
})

test('a body longer or shorter than its length is cut off, and never becomes another request', async (t) => {
  const scene = await setScene(t)
  const post = (length: string): Buffer =>
    fields(
      [':method', 'POST'],
      [':scheme', 'https'],
      [':path', '/attack'],
      [':authority', HOST],
      ['content-length', length],
    )
  const body = Buffer.from('GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n')
  for (const length of ['3', '1000']) {
    const attacker = await FrameClient.open(t, scene.tlsPort, HOST)
    attacker.send(frame(headers, Flag.endHeaders, 1, post(length)), frame(data, Flag.endStream, 1, body))
    await eventually(() => attacker.closed || attacker.count(reset, 1) > 0)
    attacker.socket.destroy()
  }
  for (let count = 0; count < 5; count += 1)
    t.equal(bodyOf(await exchangeRaw(t, scene.port, get('/fine'))), 'fine')
  t.notOk(scene.seen.some((line) => line.includes('smuggled')))
})

test('rapid reset: streams that are opened and reset in masses end the connection, not the worker', async (t) => {
  const scene = await setScene(t)
  const { attacker } = scene
  await besideLegitimate(t, scene, async () => {
    for (let stream = 1; stream < 40_001 && !attacker.closed; stream += 200) {
      const burst: Buffer[] = []
      for (let each = stream; each < stream + 200; each += 2) {
        burst.push(frame(headers, WHOLE, each, request()), frame(reset, 0, each, Buffer.from([0, 0, 0, 8])))
      }
      attacker.send(...burst)
      await createSystem().sleep(1)
    }
    await eventually(() => attacker.closed)
  })
  await eventually(() => scene.context.routes.loads().length === 0)
  t.ok(scene.seen.length < 4000, `${scene.seen.length} of 20,000 requests reached the application`)
})

test('nothing is done for streams that are reset in the same breath: no connection to the application', async (t) => {
  let connections = 0
  const replica = await startRawReplica(t, () => (connections += 1))
  const proxy = await startProxy(t, { certificates: { [HOST]: await certificate } })
  proxy.publish(route(HOST, replica))
  const attacker = await FrameClient.open(t, proxy.tlsPort, HOST)
  for (let stream = 1; stream < 401; stream += 200) {
    const burst = Array.from({ length: 100 }, (_, index) => [
      frame(headers, WHOLE, stream + 2 * index, request()),
      frame(reset, 0, stream + 2 * index, Buffer.from([0, 0, 0, 8])),
    ])
    attacker.send(...burst.flat(), frame(ping, 0, 0, Buffer.alloc(8)))
  }
  await eventually(() => attacker.count(ping) === 2)
  t.equal(proxy.context.counters.requests, 200)
  t.equal(connections, 0)
  attacker.send(frame(headers, WHOLE, 401, request()))
  await eventually(() => connections > 0)
})

test('a flood of CONTINUATION frames ends the connection', async (t) => {
  const scene = await setScene(t)
  const { attacker } = scene
  await besideLegitimate(t, scene, async () => {
    attacker.send(frame(headers, Flag.endStream, 1, request()))
    for (let count = 0; count < 10_000 && !attacker.closed; count += 100) {
      const part = frame(continuation, 0, 1, fields([`x-${count}`, 'v'.repeat(100)]))
      attacker.send(...Array.from({ length: 100 }, () => part))
      await createSystem().sleep(1)
    }
    await eventually(() => attacker.closed)
  })
  t.same(scene.seen, [])
})

test('header sections that are too large or have too many fields are refused', async (t) => {
  const scene = await setScene(t)
  const large = request(
    ...Array.from({ length: 20 }, (_, index): [string, string] => [`x-${index}`, 'v'.repeat(4000)]),
  )
  const many = request(...Array.from({ length: 2000 }, (_, index): [string, string] => [`x${index}`, 'v']))
  for (const block of [large, many]) {
    const attacker = await FrameClient.open(t, scene.tlsPort, HOST)
    const parts: Buffer[] = []
    for (let at = 0; at < block.length; at += 16_000) {
      const last = at + 16_000 >= block.length
      const type = at === 0 ? headers : continuation
      parts.push(
        frame(
          type,
          (at === 0 ? Flag.endStream : 0) | (last ? Flag.endHeaders : 0),
          1,
          block.subarray(at, at + 16_000),
        ),
      )
    }
    attacker.send(...parts)
    await eventually(() => attacker.closed || attacker.count(reset, 1) + attacker.count(headers, 1) > 0)
    attacker.socket.destroy()
  }
  t.same(scene.seen, [])
})

const FLOODS: [name: string, part: Buffer][] = [
  ['SETTINGS', frame(settings, 0, 0, Buffer.from([0, 3, 0, 0, 0, 100]))],
  ['PING', frame(ping, 0, 0, Buffer.alloc(8))],
  ['empty DATA on a stream that is over', frame(data, 0, 1)],
  ['WINDOW_UPDATE that overflows', frame(windowUpdate, 0, 0, Buffer.from([0x7f, 0xff, 0xff, 0xff]))],
  ['PRIORITY', frame(priority, 0, 3, Buffer.from([0, 0, 0, 1, 16]))],
]

test('floods of control frames cost others nothing, and their connections end', async (t) => {
  for (const [name, part] of FLOODS) {
    const scene = await setScene(t)
    const { attacker } = scene
    const burst = Buffer.concat(Array.from({ length: 500 }, () => part))
    await besideLegitimate(t, scene, async () => {
      // The attacker reads nothing, so that answers pile up.
      attacker.socket.pause()
      for (let count = 0; count < 100 && !attacker.closed; count += 1) {
        attacker.send(burst)
        await createSystem().sleep(1)
      }
      attacker.socket.resume()
      await eventually(() => attacker.closed)
    })
    t.pass(name)
  }
})

/** Not a byte of a body may be sent. */
const NO_WINDOW = frame(settings, 0, 0, Buffer.from([0, 4, 0, 0, 0, 0]))

test('slow headers, slow bodies and answers that nobody takes are bounded in time', async (t) => {
  const replica = await startReplica(t, (_request, response) => response.end('x'.repeat(200_000)))
  const proxy = await startProxy(t, {
    certificates: { [HOST]: await certificate },
    limits: {
      request_head_ms: 300,
      client_keep_alive_ms: 300,
      request_body_idle_ms: 300,
      client_stall_ms: 300,
    },
  })
  proxy.publish(route(HOST, replica))
  const halfHead = await FrameClient.open(t, proxy.tlsPort, HOST)
  halfHead.send(frame(headers, Flag.endStream, 1, request().subarray(0, 10)))
  const noReader = await FrameClient.open(t, proxy.tlsPort, HOST)
  noReader.send(NO_WINDOW, frame(headers, WHOLE, 1, request()))
  await eventually(() => halfHead.closed && (noReader.closed || noReader.count(reset, 1) > 0))
  await eventually(() => proxy.context.routes.loads().length === 0)
  await eventually(() => noReader.closed)
  // The same of what the ingress says itself.
  proxy.publish({ ...route(HOST), rules: { maintenance: { message: 'Later', retry_after_seconds: 1 } } })
  const noReaderOfPages = await FrameClient.open(t, proxy.tlsPort, HOST)
  noReaderOfPages.send(NO_WINDOW, frame(headers, WHOLE, 1, request()))
  await eventually(() => noReaderOfPages.closed)
  t.equal(proxy.context.counters.exceptions, 0)
})

test('a client that takes nothing off its connection, or never closes it, is cut off', async (t) => {
  const replica = await startReplica(t, (_request, response) => response.end('x'.repeat(200_000)))
  const proxy = await startProxy(t, {
    certificates: { [HOST]: await certificate },
    limits: { request_head_ms: 300, client_keep_alive_ms: 300, client_stall_ms: 300 },
  })
  proxy.publish(route(HOST, replica))
  const below = connect({ port: proxy.tlsPort, host: '127.0.0.1', allowHalfOpen: true })
  const halfOpen = await FrameClient.open(t, proxy.tlsPort, HOST, below)
  halfOpen.send(frame(headers, WHOLE, 1, request()))
  await eventually(() => halfOpen.socket.readableEnded)
  t.equal(proxy.proxy.openConnections(), 1)
  await eventually(() => proxy.proxy.openConnections() === 0)
  const noTaker = await FrameClient.open(t, proxy.tlsPort, HOST)
  noTaker.socket.pause()
  noTaker.send(
    frame(settings, 0, 0, Buffer.from([0, 4, 0x7f, 0xff, 0xff, 0xff])),
    frame(windowUpdate, 0, 0, Buffer.from([0x7f, 0xf0, 0, 0])),
    ...Array.from({ length: 80 }, (_, index) => frame(headers, WHOLE, 2 * index + 1, request())),
  )
  await eventually(() => proxy.context.counters.requests === 81)
  await eventually(() => proxy.proxy.openConnections() === 0)
  t.equal(proxy.context.counters.exceptions, 0)
})
