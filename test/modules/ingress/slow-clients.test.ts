import { connect } from 'node:net'
import { test } from 'tap'
import {
  bodyOf,
  eventually,
  exchangeRaw,
  gate,
  get,
  HOST,
  RawClient,
  route,
  startProxy,
  startReplica,
  statusOf,
} from './proxy-fixture.ts'

test('a client that never finishes its header section is answered 408 and cut off', async (t) => {
  const { port, publish } = await startProxy(t, { limits: { request_head_ms: 200 } })
  publish(route(HOST, 1))
  const client = await RawClient.open(t, port)
  client.send(`GET / HTTP/1.1\r\nHost: ${HOST}\r\n`)
  const drip = setInterval(() => client.send('X-A: 1\r\n'), 40)
  t.teardown(() => clearInterval(drip))
  t.equal(statusOf(await client.rest()), 408)
})

test('a client that connects and says nothing is cut off', async (t) => {
  const { port } = await startProxy(t, { limits: { request_head_ms: 200 } })
  const client = await RawClient.open(t, port)
  await client.rest()
  t.pass('closed')
})

test('a body that stops coming is answered 408, one that comes slowly is not', async (t) => {
  const ended = gate<string>()
  const replica = await startReplica(t, (request, response) => {
    request.on('error', () => ended.open('aborted'))
    request.resume()
    request.on('end', () => response.end('ok'))
  })
  const { port, publish } = await startProxy(t, {
    limits: { request_head_ms: 300, request_body_idle_ms: 400 },
  })
  publish(route(HOST, replica))

  const slow = await RawClient.open(t, port)
  slow.send(`POST / HTTP/1.1\r\nHost: ${HOST}\r\nContent-Length: 12\r\n\r\n`)
  let sent = 0
  const drip = setInterval(() => {
    sent += 1
    slow.send('x')
    if (sent === 12) clearInterval(drip)
  }, 60)
  t.teardown(() => clearInterval(drip))
  t.equal(bodyOf(await slow.response()), 'ok', 'in more time than a header section may take')

  const stuck = await RawClient.open(t, port)
  stuck.send(`POST / HTTP/1.1\r\nHost: ${HOST}\r\nContent-Length: 12\r\n\r\nhalf`)
  t.equal(statusOf(await stuck.rest()), 408)
  t.equal(await ended.opened, 'aborted')
})

test('a client that takes nothing of its answer is cut off, and its application is free again', async (t) => {
  const replica = await startReplica(t, (_request, response) => {
    const block = Buffer.alloc(1024 * 1024)
    const more = (): void => {
      while (response.write(block));
      response.once('drain', more)
    }
    more()
  })
  const { port, publish, context } = await startProxy(t, { limits: { client_stall_ms: 200 } })
  publish(route(HOST, replica))
  const client = connect(port, '127.0.0.1')
  client.on('error', () => {})
  t.teardown(() => client.destroy())
  client.pause()
  client.write(get('/'))
  await eventually(() => context.counters.truncated === 1)
  t.same(context.routes.loads(), [])
})

test('a client that takes nothing of answers that are whole already is cut off too', async (t) => {
  const body = 'x'.repeat(16 * 1024)
  const replica = await startReplica(t, (_request, response) => response.end(body))
  const { port, publish, proxy } = await startProxy(t, { limits: { client_stall_ms: 300 } })
  publish(route(HOST, replica))
  const client = connect(port, '127.0.0.1')
  client.on('error', () => {})
  t.teardown(() => client.destroy())
  client.pause()
  const ask = (): void => {
    client.write(`GET / HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`.repeat(32), (error) => {
      if (!error) ask()
    })
  }
  ask()
  await eventually(() => proxy.openConnections() === 1)
  await eventually(() => proxy.openConnections() === 0)
})

test('a client that closes its side has gone, whatever it was about to be told', async (t) => {
  const replica = await startReplica(t, (request, response) => {
    request.on('error', () => {})
    request.on('end', () => response.end('ok'))
    request.resume()
  })
  const { port, publish, context, proxy } = await startProxy(t)
  publish({ ...route('held.localhost'), hold_ms: 60_000 }, route(HOST, replica))
  const held = await RawClient.open(t, port)
  held.send(get('/', 'held.localhost'))
  await eventually(() => context.holds.counts().length === 1)
  held.socket.end()
  t.equal(await held.rest(), '')
  t.same(context.holds.counts(), [])
  for (const part of [
    'GET / HTTP/1.1\r\nHo',
    `POST / HTTP/1.1\r\nHost: ${HOST}\r\nContent-Length: 10\r\n\r\nhalf`,
    `POST / HTTP/1.1\r\nHost: ${HOST}\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nha`,
  ]) {
    const half = await RawClient.open(t, port)
    half.send(part)
    half.socket.end()
    t.notMatch(await half.rest(), /HTTP\/1\.1 200/)
  }
  await eventually(() => proxy.openConnections() === 0)
  t.same(context.routes.loads(), [])
})

test('an idle client connection is closed', async (t) => {
  const replica = await startReplica(t, (_request, response) => response.end('ok'))
  const { port, publish } = await startProxy(t, { limits: { client_keep_alive_ms: 100 } })
  publish(route(HOST, replica))
  const client = await RawClient.open(t, port)
  client.send(`GET / HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`)
  t.equal(bodyOf(await client.response()), 'ok')
  await client.rest()
  t.pass('closed')
})

test('too large and too many header fields are answered 431, too long a target 414', async (t) => {
  const { port, publish } = await startProxy(t)
  publish(route(HOST, 1))
  const ask = async (text: string) => statusOf(await exchangeRaw(t, port, text))
  t.equal(await ask(get('/', HOST, `X-A: ${'a'.repeat(40_000)}\r\n`)), 431)
  t.equal(await ask(get('/', HOST, 'X-A: 1\r\n'.repeat(201))), 431)
  t.equal(await ask(get(`/${'a'.repeat(17_000)}`)), 414)
  t.equal(await ask(get(`/${'a'.repeat(40_000)}`)), 431, 'the target counts among the header bytes')
})

test('more connections than the limit are not accepted, and those there are serve on', async (t) => {
  const replica = await startReplica(t, (_request, response) => response.end('ok'))
  const { port, publish } = await startProxy(t, { limits: { client_connections: 2 } })
  publish(route(HOST, replica))
  const first = await RawClient.open(t, port)
  const second = await RawClient.open(t, port)
  for (const client of [first, second]) {
    client.send(`GET / HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`)
    await client.response()
  }
  const third = await RawClient.open(t, port)
  t.equal(await third.rest(), '')
  first.send(get('/'))
  t.equal(bodyOf(await first.rest()), 'ok')
})
