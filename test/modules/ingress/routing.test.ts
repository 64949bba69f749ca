import { test } from 'tap'
import {
  bodyOf,
  closedPort,
  eventually,
  exchangeRaw,
  gate,
  get,
  headerOf,
  HOST,
  RawClient,
  route,
  startReplica,
  startProxy,
  statusOf,
} from './proxy-fixture.ts'

test('a host name is found in any case, with a port and with a trailing dot', async (t) => {
  const replica = await startReplica(t, (request, response) => response.end(`host ${request.headers.host}`))
  const { port, publish } = await startProxy(t)
  publish(route(HOST, replica))
  for (const host of [HOST, 'APP.Demo.LocalHost', `${HOST}:8080`, `${HOST}.`, `${HOST}.:80`]) {
    const response = await exchangeRaw(t, port, get('/', host))
    t.equal(statusOf(response), 200, host)
    t.equal(bodyOf(response), `host ${host}`, 'the application sees the host as the client wrote it')
  }
})

test('an unknown host gets a page that says so and nothing about the inside', async (t) => {
  const { port, publish } = await startProxy(t)
  publish(route(HOST, 1))
  const page = await exchangeRaw(t, port, get('/', 'other.localhost'))
  t.equal(statusOf(page), 404)
  t.match(page, /Content-Type: text\/html; charset=utf-8\r\n/)
  t.match(page, /X-Request-Id: [0-9a-f]+\r\n/)
  t.match(page, /<h1>404 Nothing here<\/h1>/)
  t.notMatch(page, /node|127\.0\.0\.1|replica/i)
  const json = await exchangeRaw(t, port, get('/', 'other.localhost', 'Accept: application/json\r\n'))
  t.match(json, /Content-Type: application\/json; charset=utf-8\r\n/)
  const body: unknown = JSON.parse(bodyOf(json))
  t.match(body, {
    error: 'UNKNOWN_HOST',
    message: 'No service answers to this host name.',
    request_id: /^[0-9a-f]+$/,
  })
})

test('a worker that has no table yet asks to come back instead of denying the host', async (t) => {
  const { port } = await startProxy(t)
  const response = await exchangeRaw(t, port, get('/'))
  t.equal(statusOf(response), 503)
  t.match(response, /Retry-After: \d+\r\n/)
})

test('a route without replicas answers 503 with Retry-After', async (t) => {
  const { port, publish } = await startProxy(t)
  publish(route(HOST))
  const response = await exchangeRaw(t, port, get('/'))
  t.equal(statusOf(response), 503)
  t.match(response, /Retry-After: \d+\r\n/)
  t.match(response, /Connection: close\r\n/i)
})

test('a service that was stopped says so, and that waiting helps is not said', async (t) => {
  const { port, publish, context } = await startProxy(t)
  publish({ ...route(HOST), stopped: true, rules: { response_headers: { set: {}, remove: [] } } })
  const response = await exchangeRaw(t, port, get('/'))
  t.equal(statusOf(response), 503)
  t.match(response, /The service is stopped\./)
  t.notMatch(response, /Retry-After|Try again/i)
  t.equal(context.counters.answered.get(503), 1)
})

test('a replica that refuses connections gives 502 without details', async (t) => {
  const { port, publish, context } = await startProxy(t)
  publish(route(HOST, await closedPort()))
  const response = await exchangeRaw(t, port, get('/'))
  t.equal(statusOf(response), 502)
  t.notMatch(response, /ECONNREFUSED|127\.0\.0\.1|replica-/)
  t.equal(context.counters.answered.get(502), 1)
})

test('an error page for HEAD has no body', async (t) => {
  const { port, publish } = await startProxy(t)
  publish(route(HOST))
  const response = await exchangeRaw(t, port, `HEAD / HTTP/1.1\r\nHost: ${HOST}\r\nConnection: close\r\n\r\n`)
  t.equal(statusOf(response), 503)
  t.equal(bodyOf(response), '')
})

test('requests go to the replica with the least running ones, and ties take turns', async (t) => {
  const held = gate()
  const replica = (name: string) =>
    startReplica(t, (request, response) => {
      if (request.url === '/hold') void held.opened.then(() => response.end(name))
      else response.end(name)
    })
  const names = ['a', 'b', 'c']
  const ports = await Promise.all(names.map(replica))
  const { port, publish, context } = await startProxy(t)
  publish(route(HOST, ...ports))

  const seen = new Set<string>()
  for (let count = 0; count < 3; count += 1) seen.add(bodyOf(await exchangeRaw(t, port, get('/'))))
  t.same([...seen].toSorted(), names, 'three requests in a row reach three replicas')

  const holding = await Promise.all([RawClient.open(t, port), RawClient.open(t, port)])
  for (const [index, client] of holding.entries()) {
    client.send(get('/hold'))
    await eventually(() => context.routes.loads().length > index)
  }
  const free = new Set<string>()
  for (let count = 0; count < 4; count += 1) free.add(bodyOf(await exchangeRaw(t, port, get('/'))))
  t.equal(free.size, 1, 'the third one gets everything while two are busy')
  held.open()
  const held1 = await Promise.all(holding.map((client) => client.rest()))
  t.notOk(held1.map(bodyOf).includes([...free][0] as string))
})

test('an absolute target names the host, whatever the Host field says', async (t) => {
  const replica = await startReplica(t, (request, response) =>
    response.end(`${request.method} ${request.url} ${request.headers.host}`),
  )
  const { port, publish } = await startProxy(t)
  publish(route(HOST, replica))
  const ask = (target: string) =>
    exchangeRaw(t, port, `GET ${target} HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n`)
  t.equal(bodyOf(await ask(`http://${HOST}/a?b=c`)), `GET /a?b=c ${HOST}`)
  t.equal(bodyOf(await ask(`HTTP://${HOST}`)), `GET / ${HOST}`)
  t.equal(bodyOf(await ask(`http://${HOST}:81?q`)), `GET /?q ${HOST}:81`)
  for (const target of [`http://user@${HOST}/`, `https://${HOST}/`, 'http:///x', 'ftp://x/', 'x', '*']) {
    t.equal(statusOf(await ask(target)), 400, target)
  }
})

test('OPTIONS * reaches the application; TRACE and CONNECT do not', async (t) => {
  const seen: string[] = []
  const replica = await startReplica(t, (request, response) => {
    seen.push(`${request.method} ${request.url}`)
    response.end()
  })
  const { port, publish } = await startProxy(t)
  publish(route(HOST, replica))
  const ask = (line: string) =>
    exchangeRaw(t, port, `${line} HTTP/1.1\r\nHost: ${HOST}\r\nConnection: close\r\n\r\n`)
  t.equal(statusOf(await ask('OPTIONS *')), 200)
  // RFC 9112, section 3.2.4: an absolute target without a path means the same.
  t.equal(statusOf(await ask(`OPTIONS http://${HOST}`)), 200)
  t.equal(statusOf(await ask(`OPTIONS http://${HOST}/`)), 200)
  t.equal(statusOf(await ask('TRACE /')), 405)
  t.equal(statusOf(await ask(`CONNECT ${HOST}:80`)), 405)
  t.same(seen, ['OPTIONS *', 'OPTIONS *', 'OPTIONS /'])
  publish({ ...route(HOST, replica), https_only: true })
  const redirected = headerOf(await ask('OPTIONS *'), 'Location')
  t.match(redirected, /^https:\/\/app\.demo\.localhost:\d+$/, 'and so does this')
})

test('an HTTP/1.0 client is served when it names a host, and its connection is closed', async (t) => {
  const replica = await startReplica(t, (_request, response) => {
    response.write('two ')
    response.end('pieces')
  })
  const { port, publish } = await startProxy(t)
  publish(route(HOST, replica))
  const response = await exchangeRaw(t, port, `GET / HTTP/1.0\r\nHost: ${HOST}\r\n\r\n`)
  t.equal(statusOf(response), 200)
  t.notMatch(response, /Transfer-Encoding/i)
  t.equal(bodyOf(response), 'two pieces')
  t.equal(statusOf(await exchangeRaw(t, port, 'GET / HTTP/1.0\r\n\r\n')), 400)
})

test('requests that a client sends without waiting are answered in order, one at a time', async (t) => {
  let running = 0
  let most = 0
  const replica = await startReplica(t, (request, response) => {
    running += 1
    most = Math.max(most, running)
    setImmediate(() => {
      running -= 1
      response.end(`answer ${request.url}`)
    })
  })
  const { port, publish } = await startProxy(t)
  publish(route(HOST, replica))
  const client = await RawClient.open(t, port)
  const line = (path: string) => `GET ${path} HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`
  client.send(line('/1') + line('/2') + line('/3') + get('/4'))
  const text = await client.rest()
  t.same(
    [...text.matchAll(/answer (\/\d)/g)].map((match) => match[1]),
    ['/1', '/2', '/3', '/4'],
  )
  t.equal(most, 1)
})

test('of requests that a client sends ahead, no more than a little is read', async (t) => {
  const first = gate()
  const seen: string[] = []
  const replica = await startReplica(t, (request, response) => {
    seen.push(request.url ?? '')
    if (request.url === '/0') void first.opened.then(() => response.end('ok'))
    else response.end('ok')
  })
  const { port, publish } = await startProxy(t)
  publish(route(HOST, replica))
  const client = await RawClient.open(t, port)
  const count = 1000
  const ahead = Array.from({ length: count }, (_, index) => `GET /${index} HTTP/1.1\r\nHost: ${HOST}\r\n`)
  let taken = 0
  const padding = `X-Padding: ${'x'.repeat(16_000)}\r\n\r\n`
  for (const each of ahead) client.socket.write(each + padding, () => (taken += 1))
  let before = -1
  let looks = 0
  await eventually(() => {
    looks = taken === before ? looks + 1 : 0
    before = taken
    return looks > 20
  })
  t.ok(taken < count, `${taken} of ${count} have left the client`)
  t.same(seen, ['/0'])
  first.open()
  await eventually(() => seen.length === count)
  t.same(
    seen,
    ahead.map((_, index) => `/${index}`),
  )
})

test('a fault of the proxy itself ends one request and is counted; the others go on', async (t) => {
  const replica = await startReplica(t, (_request, response) => response.end('ok'))
  const { port, publish, context } = await startProxy(t)
  publish(route(HOST, replica))
  const bystander = await RawClient.open(t, port)
  bystander.send(`GET / HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`)
  t.equal(bodyOf(await bystander.response()), 'ok')
  const find = context.routes.find.bind(context.routes)
  context.routes.find = () => {
    throw new Error('a fault on the way in')
  }
  t.equal(await exchangeRaw(t, port, get('/')), '')
  context.routes.find = find
  const [upstream] = context.routes.states()
  const giveBack = upstream?.giveBack.bind(upstream)
  if (upstream === undefined || giveBack === undefined) throw new Error('no upstream')
  upstream.giveBack = () => {
    throw new Error('a fault on the way back')
  }
  await exchangeRaw(t, port, get('/'))
  upstream.giveBack = giveBack
  t.equal(context.counters.exceptions, 2)
  bystander.send(get('/'))
  t.equal(bodyOf(await bystander.rest()), 'ok')
  t.same(context.routes.loads(), [])
})
