import { once } from 'node:events'
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  type IncomingHttpHeaders,
} from 'node:http2'
import { test } from 'tap'
import type { Test } from 'tap'
import { makeCertificate } from '../../support/certificate.ts'
import { fields, Flag, frame, FrameClient, FrameType } from './http2-frames.ts'
import {
  eventually,
  HOST,
  type ProxyOptions,
  route,
  type RunningProxy,
  startCannedReplica,
  startProxy,
  startReplica,
} from './proxy-fixture.ts'

const certificate = makeCertificate(HOST, 'nowhere.example')

async function start(t: Test, options: ProxyOptions = {}): Promise<RunningProxy> {
  return await startProxy(t, { ...options, certificates: { [HOST]: await certificate } })
}

async function open(t: Test, port: number, ca?: string): Promise<ClientHttp2Session> {
  const { chain_pem } = await certificate
  const session = connect(`https://${HOST}:${port}`, {
    ca: ca ?? chain_pem,
    lookup: (_name, _options, done) => done(null, [{ address: '127.0.0.1', family: 4 }] as never, 4),
  })
  session.on('error', () => {})
  t.teardown(() => session.destroy())
  await once(session, 'connect')
  return session
}

interface Answer {
  status: number | undefined
  headers: IncomingHttpHeaders
  body: string
  trailers: IncomingHttpHeaders | undefined
}

async function answerTo(stream: ClientHttp2Stream): Promise<Answer> {
  let body = ''
  let trailers: IncomingHttpHeaders | undefined
  stream.setEncoding('latin1')
  stream.on('data', (piece: string) => (body += piece))
  stream.on('trailers', (fields: IncomingHttpHeaders) => (trailers = fields))
  const [headers] = (await once(stream, 'response')) as [IncomingHttpHeaders & { ':status'?: number }]
  if (!stream.readableEnded) await once(stream, 'end')
  return { status: headers[':status'], headers, body, trailers }
}

async function ask(
  session: ClientHttp2Session,
  fields: Record<string, string | string[]>,
  body?: string,
): Promise<Answer> {
  const stream = session.request({ ':path': '/', ...fields }, { endStream: body === undefined })
  if (body !== undefined) stream.end(body)
  return await answerTo(stream)
}

test('a connection is for the names that its certificate covers; others are sent to one of their own', async (t) => {
  const pair = await makeCertificate(HOST, '*.wild.example', 'other.example')
  const replica = await startReplica(t, (request, response) => response.end(request.headers.host))
  const trusting = { trusted: ['127.0.0.1'], certificates: { [HOST]: pair } }
  for (const options of [{ certificates: { [HOST]: pair } }, trusting]) {
    const { tlsPort, publish } = await startProxy(t, options)
    const names = [HOST, 'other.example', 'a.wild.example', 'a.b.wild.example', 'foreign.example']
    publish(...names.map((name) => route(name, replica)))
    const session = await open(t, tlsPort, pair.chain_pem)
    const statuses = []
    // Twice: the second time it is remembered.
    for (const name of [...names, ...names])
      statuses.push((await ask(session, { ':authority': name.toUpperCase() })).status)
    const expected = 'trusted' in options ? [200, 200, 200, 200, 200] : [200, 200, 200, 421, 421]
    t.same(statuses, [...expected, ...expected])
    const misdirected = await ask(session, { ':authority': 'foreign.example', accept: 'application/json' })
    if (!('trusted' in options)) t.match(JSON.parse(misdirected.body), { error: 'MISDIRECTED_REQUEST' })
  }
})

test('requests by HTTP/2 reach the application as HTTP/1.1, many at once', async (t) => {
  const replica = await startReplica(t, (request, response) => {
    let body = ''
    request.on('data', (piece: Buffer) => (body += piece.toString()))
    request.on('end', () => {
      response.setHeader('X-Seen', JSON.stringify(request.headers))
      response.setHeader('Set-Cookie', ['a=1', 'b=2'])
      response.end(`${request.method} ${request.url} ${body}`)
    })
  })
  const { tlsPort, publish } = await start(t)
  publish(route(HOST, replica))
  const session = await open(t, tlsPort)
  const answers = await Promise.all(
    Array.from({ length: 50 }, (_, index) =>
      index % 2 === 0
        ? ask(session, { ':path': `/${index}?q`, cookie: ['x=1', 'y=2'] })
        : ask(session, { ':path': `/${index}`, ':method': 'POST' }, `body ${index}`),
    ),
  )
  t.ok(answers.every(({ status }) => status === 200))
  t.equal(answers[4]?.body, 'GET /4?q ')
  t.equal(answers[7]?.body, 'POST /7 body 7')
  t.same(answers[4]?.headers['set-cookie'], ['a=1', 'b=2'])
  const seen = JSON.parse(String(answers[4]?.headers['x-seen']))
  t.equal(seen['cookie'], 'x=1; y=2')
  t.equal(seen['x-forwarded-proto'], 'https')
  t.equal(seen['host'], `${HOST}:${tlsPort}`)
  t.ok(seen['x-request-id'])
})

test('trailers and informational answers pass both ways', async (t) => {
  let received: NodeJS.Dict<string> = {}
  const replica = await startReplica(t, (request, response) => {
    request.resume()
    request.on('end', () => {
      received = request.trailers
      response.writeEarlyHints({ link: '</a.css>; rel=preload' })
      response.writeHead(200, { Trailer: 'X-Sum' })
      response.write('body')
      response.addTrailers({ 'X-Sum': '42' })
      response.end()
    })
  })
  const { tlsPort, publish } = await start(t)
  publish(route(HOST, replica))
  const session = await open(t, tlsPort)
  const stream = session.request({ ':path': '/', ':method': 'POST' }, { waitForTrailers: true })
  stream.on('wantTrailers', () => stream.sendTrailers({ 'x-client': 'yes' }))
  const hints: unknown[] = []
  stream.on('headers', (fields: IncomingHttpHeaders) => hints.push(fields['link']))
  stream.end('hello')
  const answer = await answerTo(stream)
  t.equal(answer.body, 'body')
  t.equal(answer.trailers?.['x-sum'], '42')
  t.same(hints, ['</a.css>; rel=preload'])
  t.equal(received['x-client'], 'yes')
})

test('trailers of a request that comes whole at once reach the application', async (t) => {
  let received: NodeJS.Dict<string> = {}
  const replica = await startReplica(t, (request, response) => {
    request.resume()
    request.on('end', () => {
      received = request.trailers
      response.end()
    })
  })
  const { tlsPort, publish } = await start(t)
  publish(route(HOST, replica))
  const client = await FrameClient.open(t, tlsPort, HOST)
  const post = fields([':method', 'POST'], [':scheme', 'https'], [':path', '/'], [':authority', HOST])
  client.send(
    frame(FrameType.headers, Flag.endHeaders, 1, post),
    frame(FrameType.data, 0, 1, Buffer.from('hello')),
    frame(FrameType.headers, Flag.endHeaders | Flag.endStream, 1, fields(['x-client', 'yes'])),
  )
  await eventually(() => client.count(FrameType.headers, 1) > 0)
  t.equal(received['x-client'], 'yes')
})

test('large bodies stream both ways, no faster than either side takes them', async (t) => {
  const size = 24 * 1024 * 1024
  const replica = await startReplica(t, (request, response) => {
    response.writeHead(200, { 'Content-Type': 'application/octet-stream' })
    request.pipe(response)
  })
  const { tlsPort, publish } = await start(t)
  publish(route(HOST, replica))
  const session = await open(t, tlsPort)
  const stream = session.request({ ':path': '/', ':method': 'POST', 'content-length': String(size) })
  const piece = Buffer.alloc(256 * 1024, 'x')
  let sent = 0
  const send = (): void => {
    while (sent < size) {
      sent += piece.length
      if (!stream.write(piece)) {
        stream.once('drain', send)
        return
      }
    }
    stream.end()
  }
  send()
  await once(stream, 'response')
  t.ok(sent < size, 'nothing is read from the answer yet, so the client is held back')
  let received = 0
  stream.on('data', (data: Buffer) => (received += data.length))
  await once(stream, 'end')
  t.equal(received, size)
})

test('answers without a body, HEAD, faulty applications and unknown hosts', async (t) => {
  const replica = await startReplica(t, (request, response) => {
    if (request.url === '/204') response.writeHead(204).end()
    else if (request.url === '/304') response.writeHead(304, { etag: '"x"' }).end()
    else response.writeHead(200, { 'Content-Length': 5 }).end('hello')
  })
  const twice = await startCannedReplica(
    t,
    'HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nContent-Type: c/d\r\nContent-Length: 2\r\n\r\nok',
  )
  const reset = await startCannedReplica(t, 'HTTP/1.1 205 Reset Content\r\nContent-Length: 2\r\n\r\nok')
  const cut = await startCannedReplica(t, 'HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nhalf', true)
  const { tlsPort, publish, context } = await start(t)
  publish(route(HOST, replica))
  const session = await open(t, tlsPort)
  t.equal((await ask(session, { ':path': '/204' })).status, 204)
  t.equal((await ask(session, { ':path': '/304' })).status, 304)
  const head = await ask(session, { ':method': 'HEAD' })
  t.equal(head.headers['content-length'], '5')
  t.equal(head.body, '')
  const unknown = await ask(session, { ':authority': 'nowhere.example', accept: 'application/json' })
  t.equal(unknown.status, 404)
  t.equal(JSON.parse(unknown.body).error, 'UNKNOWN_HOST')
  t.equal((await ask(session, { ':authority': 'nowhere.example', ':method': 'HEAD' })).status, 404)
  publish(route(HOST, reset))
  t.match(await ask(session, {}), { status: 205, body: '' })
  publish(route(HOST, twice))
  t.equal((await ask(session, {})).body, 'ok')
  publish(route(HOST, cut))
  await t.rejects(ask(session, {}), { code: 'ERR_HTTP2_STREAM_ERROR' }, 'a cut answer is not taken for whole')
  publish(route(HOST, replica))
  t.equal((await ask(session, {})).body, 'hello', 'and the connection goes on')
  t.equal(context.counters.exceptions, 0)
})

test('a client that resets its stream frees the replica', async (t) => {
  let closed = 0
  const replica = await startReplica(t, (_request, response) => {
    response.on('close', () => (closed += 1))
    response.write('first')
  })
  const { tlsPort, publish, context } = await start(t)
  publish(route(HOST, replica))
  const session = await open(t, tlsPort)
  const stream = session.request({ ':path': '/' })
  await once(stream, 'response')
  stream.close()
  await eventually(() => closed === 1)
  t.same(context.routes.loads(), [])
})

test('a draining worker lets streams end and opens no more', async (t) => {
  const replica = await startReplica(t, (_request, response) => response.end('ok'))
  const { tlsPort, publish, proxy } = await start(t)
  publish({ ...route(HOST), hold_ms: 60_000 })
  const session = await open(t, tlsPort)
  const waiting = ask(session, {})
  const goaway = once(session, 'goaway')
  await eventually(() => proxy.openConnections() === 1)
  proxy.beginDrain()
  await goaway
  publish(route(HOST, replica))
  t.equal((await waiting).body, 'ok')
  proxy.closeIdle()
  await eventually(() => proxy.openConnections() === 0)
})

test('a connection that carries no request is closed, whatever else it sends', async (t) => {
  const { tlsPort, proxy } = await start(t, { limits: { request_head_ms: 300, client_keep_alive_ms: 300 } })
  const session = await open(t, tlsPort)
  await eventually(() => proxy.openConnections() === 1 || session.destroyed)
  if (!session.destroyed) await once(session, 'close')
  await eventually(() => proxy.openConnections() === 0)
})
