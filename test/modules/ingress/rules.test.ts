import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { type IncomingHttpHeaders, type IncomingMessage, request } from 'node:http'
import { text } from 'node:stream/consumers'
import { Worker } from 'node:worker_threads'
import { type Test, test } from 'tap'
import type { RouteRules } from '../../../src/ingress/contract/route-rules.ts'
import { HOST, route, startProxy, startReplica } from './proxy-fixture.ts'

interface Seen {
  url: string
  headers: IncomingHttpHeaders
  raw: string[]
}

/** A proxy with rules in front of a replica that tells what it got. */
async function openRules(
  t: Test,
  rules: RouteRules,
  others: Record<string, number> = {},
  { trusted = [], ...canonical }: { canonical_host?: string; trusted?: string[] } = {},
) {
  const seen: Seen[] = []
  const replica = await startReplica(t, (incoming, response) => {
    seen.push({ url: incoming.url ?? '', headers: incoming.headers, raw: incoming.rawHeaders })
    incoming.resume()
    incoming.on('end', () => response.writeHead(200, { 'x-powered-by': 'secret', server: 'app' }).end('app'))
  })
  const all = await startProxy(t, { trusted })
  all.publish(
    { ...route(HOST, replica), ...canonical, rules },
    ...Object.entries(others).map(([hostname, port]) => route(hostname, port)),
  )
  const ask = async (
    path: string,
    headers: Record<string, string> = {},
    body?: { text: string; chunked?: boolean },
  ): Promise<{ status: number | undefined; headers: IncomingHttpHeaders; text: string }> => {
    const outgoing = request({
      host: '127.0.0.1',
      port: all.port,
      path,
      method: path === '*' ? 'OPTIONS' : body ? 'POST' : 'GET',
      agent: false,
      headers: {
        host: HOST,
        ...headers,
        ...(body &&
          (body.chunked === true
            ? { 'transfer-encoding': 'chunked' }
            : { 'content-length': String(body.text.length) })),
      },
    })
    outgoing.on('error', () => {})
    outgoing.end(body?.text)
    const [response] = (await once(outgoing, 'response')) as [IncomingMessage]
    return { status: response.statusCode, headers: response.headers, text: await text(response) }
  }
  return { ask, seen, all }
}

test('addresses that are not let in get 403, and deny wins over allow', async (t) => {
  const table: [RouteRules, number][] = [
    [{ allow: ['127.0.0.0/8'] }, 200],
    [{ allow: ['10.0.0.0/8'] }, 403],
    [{ deny: ['127.0.0.1'] }, 403],
    [{ deny: ['10.0.0.0/8'] }, 200],
    [{ allow: ['127.0.0.0/8'], deny: ['127.0.0.1/32'] }, 403],
  ]
  for (const [rules, status] of table) {
    const { ask, seen } = await openRules(t, rules)
    t.equal((await ask('/')).status, status, JSON.stringify(rules))
    t.equal(seen.length, status === 200 ? 1 : 0)
  }
})

test('an address with a port is that address, and what is no address is not let in', async (t) => {
  const table: [rules: RouteRules, claim: string, status: number][] = [
    [{ deny: ['192.0.2.0/24'] }, '192.0.2.1:4711', 403],
    [{ deny: ['2001:db8::/32'] }, '[2001:db8::1]:4711', 403],
    [{ deny: ['192.0.2.0/24'] }, '198.51.100.1:4711, 127.0.0.1:80', 200],
    [{ allow: ['192.0.2.0/24'] }, '192.0.2.1:4711', 200],
    [{ deny: ['192.0.2.0/24'] }, 'unknown', 403],
  ]
  for (const [rules, claim, status] of table) {
    const { ask } = await openRules(t, rules, {}, { trusted: ['127.0.0.0/8'] })
    t.equal(
      (await ask('/', { 'x-forwarded-for': claim })).status,
      status,
      `${JSON.stringify(rules)} ${claim}`,
    )
  }
})

/** Connects, sends a whole request, and resets the connection; then lets the other thread go on. */
const RESETTER = String.raw`
const { workerData: { port, host, over } } = require('node:worker_threads')
const socket = require('node:net').connect(port, '127.0.0.1', () =>
  socket.write('POST / HTTP/1.1\r\nHost: ' + host + '\r\nContent-Length: 5\r\n\r\nhello', () => socket.resetAndDestroy()))
socket.on('close', () => {
  Atomics.store(over, 0, 1)
  Atomics.notify(over, 0)
})
`

test('a client that resets its connection before it is accepted passes no list', async (t) => {
  const { ask, all, seen } = await openRules(t, { deny: ['127.0.0.0/8'] })
  const over = new Int32Array(new SharedArrayBuffer(4))
  const worker = new Worker(RESETTER, { eval: true, workerData: { port: all.port, host: HOST, over } })
  // This thread, and the proxy in it, accepts nothing meanwhile.
  Atomics.wait(over, 0, 0, 10_000)
  t.equal((await ask('/')).status, 403)
  t.equal(all.context.counters.requests, 1)
  t.same(seen, [])
  await worker.terminate()
})

test('maintenance answers a page or JSON, with Retry-After, and escapes its words', async (t) => {
  const { ask, seen } = await openRules(t, {
    maintenance: { message: 'Back <soon> & well', retry_after_seconds: 120 },
  })
  const page = await ask('/', { accept: 'text/html' })
  t.match(page, { status: 503, headers: { 'retry-after': '120' }, text: /Back &lt;soon&gt; &amp; well/ })
  const json = await ask('/', { accept: 'application/json' })
  t.match(JSON.parse(json.text), { error: 'SERVICE_UNAVAILABLE', message: 'Back <soon> & well' })
  t.same(seen, [])
})

test('redirects keep what is below the path, and the query', async (t) => {
  const { ask } = await openRules(t, {
    redirects: [
      { path: '/old', exact: false, to: 'https://new.example.com/here', status: 301 },
      { path: '/one', exact: true, to: '/two', status: 302 },
      { path: '/up', exact: false, to: '/', status: 302 },
      { path: '/all/', exact: false, to: 'https://new.example.com', status: 302 },
    ],
  })
  const table: [string, number, string | undefined][] = [
    ['/old', 301, 'https://new.example.com/here'],
    ['/old/deep/er?a=1', 301, 'https://new.example.com/here/deep/er?a=1'],
    ['/older', 200, undefined],
    ['/one?x', 302, '/two?x'],
    ['/one/two', 200, undefined],
    ['/up', 302, '/'],
    ['/up/', 302, '/'],
    ['/up/a/b', 302, '/a/b'],
    // Whoever makes the path chooses no host.
    ['/up/evil.example/x', 302, '/evil.example/x'],
    ['/up//evil.example/x', 302, '/evil.example/x'],
    ['/up/\\\\evil.example/x', 302, '/evil.example/x'],
    ['/all/a', 302, 'https://new.example.com/a'],
    ['/all/.evil.example/', 302, 'https://new.example.com/.evil.example/'],
    ['/all/@evil.example/', 302, 'https://new.example.com/@evil.example/'],
    ['/all/', 302, 'https://new.example.com'],
  ]
  for (const [path, status, location] of table) {
    const answer = await ask(path)
    t.equal(answer.status, status, path)
    t.equal(answer.headers.location, location, path)
  }
})

test('the canonical hostname is kept by the others', async (t) => {
  const canonical = { canonical_host: 'www.example.com' }
  const { ask, all } = await openRules(t, {}, {}, canonical)
  t.match(await ask('/a?b=c'), { status: 308, headers: { location: 'http://www.example.com/a?b=c' } })
  const withPort = await ask('/a', { host: `${HOST}:8080` })
  t.equal(withPort.headers.location, 'http://www.example.com:8080/a', 'with the port that the client came by')
  const whole = await ask('*')
  t.match(
    whole,
    { status: 308, headers: { location: 'http://www.example.com' } },
    'no path at all stands for *',
  )
  all.publish({ ...route(HOST), ...canonical })
  t.equal((await ask('/')).status, 308, 'also without any other rule')
})

test('a password is asked for, and only the right one lets a request through', async (t) => {
  const user = (username: string, password: string) => {
    const sha256 = createHash('sha256').update('salt').update(password).digest('hex')
    return { username, salt: 'salt', sha256 }
  }
  const { ask, seen } = await openRules(t, {
    basic_auth: {
      realm: 'Inside',
      users: [user('ann', 'a rather long one: yes'), user('bob', 'another long password')],
    },
  })
  const basic = (pair: string) => ({ authorization: `Basic ${Buffer.from(pair).toString('base64')}` })
  const refused = await ask('/')
  t.match(refused, { status: 401, headers: { 'www-authenticate': 'Basic realm="Inside", charset="UTF-8"' } })
  for (const pair of ['ann:another long password', 'ann:', ':', 'ann', 'carl:a rather long one: yes', ''])
    t.equal((await ask('/', basic(pair))).status, 401, pair)
  t.equal((await ask('/', { authorization: 'Bearer x' })).status, 401)
  t.equal(seen.length, 0)
  t.equal((await ask('/', basic('ann:a rather long one: yes'))).status, 200)
  t.equal((await ask('/', basic('bob:another long password'))).status, 200)
  t.same(
    seen.map(({ headers }) => headers.authorization),
    [undefined, undefined],
    'it is for the ingress, and nobody behind it is told',
  )
})

test('fields are set and removed, on the way in and on the way out', async (t) => {
  const { ask, seen } = await openRules(t, {
    request_headers: { set: { 'X-Tier': 'gold' }, remove: ['Cookie'] },
    response_headers: {
      set: { 'Strict-Transport-Security': 'max-age=1', Server: 'none' },
      remove: ['x-powered-by'],
    },
  })
  const answer = await ask('/', { cookie: 'a=1', 'x-tier': 'forged', 'x-other': 'kept' })
  t.match(seen[0]?.headers, { 'x-tier': 'gold', 'x-other': 'kept', host: HOST })
  t.equal(seen[0]?.headers.cookie, undefined)
  t.equal(seen[0]?.raw.filter((name) => name.toLowerCase() === 'x-tier').length, 1)
  t.ok(seen[0]?.headers['x-request-id'])
  t.match(answer.headers, { 'strict-transport-security': 'max-age=1', server: 'none' })
  t.equal(answer.headers['x-powered-by'], undefined)
})

test('the longest prefix leads to its service, with or without the prefix', async (t) => {
  const urls: Record<string, string[]> = { api: [], v2: [] }
  const start = (name: string) =>
    startReplica(t, (incoming, response) => {
      urls[name]?.push(`${incoming.headers.host ?? ''} ${incoming.url ?? ''}`)
      response.end(name)
    })
  const { ask } = await openRules(
    t,
    {
      paths: [
        { prefix: '/api', hostname: 'api.demo.localhost', strip: true },
        { prefix: '/api/v2', hostname: 'v2.demo.localhost', strip: false },
        { prefix: '/gone', hostname: 'gone.demo.localhost', strip: false },
      ],
    },
    { 'api.demo.localhost': await start('api'), 'v2.demo.localhost': await start('v2') },
  )
  t.equal((await ask('/api/users?x=1')).text, 'api')
  t.equal((await ask('/api')).text, 'api')
  t.equal((await ask('/api?y')).text, 'api')
  t.equal((await ask('/api/v2/users')).text, 'v2')
  t.equal((await ask('/apiary')).text, 'app')
  t.equal((await ask('/gone/x')).status, 503)
  t.same(
    urls['api'],
    [`${HOST} /users?x=1`, `${HOST} /`, `${HOST} /?y`],
    'the application sees the host that was asked',
  )
  t.same(urls['v2'], [`${HOST} /api/v2/users`])
})

test('a body that is too large is refused, whether its length is told or not', async (t) => {
  const { ask, seen } = await openRules(t, { max_body_bytes: 1000 })
  t.equal((await ask('/', {}, { text: 'x'.repeat(1000) })).status, 200)
  t.equal((await ask('/', {}, { text: 'x'.repeat(1001) })).status, 413)
  t.equal(seen.length, 1, 'nothing of it reaches the application')
  t.equal((await ask('/', {}, { text: 'x'.repeat(1000), chunked: true })).status, 200)
  t.equal((await ask('/', {}, { text: 'x'.repeat(100_000), chunked: true })).status, 413)
})

test('a client keeps its replica by a cookie that tells nothing, until that replica is gone', async (t) => {
  const start = (name: string) => startReplica(t, (_, response) => response.end(name))
  const [one, two] = [await start('one'), await start('two')]
  const { ask, all } = await openRules(t, {})
  const rules = { sticky: true }
  all.publish({ ...route(HOST, one, two), rules })
  const first = await ask('/')
  const cookie = String(first.headers['set-cookie']?.[0]).split(';')[0] ?? ''
  t.match(
    String(first.headers['set-cookie']),
    /^__berth_replica=[0-9a-f]{24}; Path=\/; HttpOnly; SameSite=Lax$/,
  )
  for (let count = 0; count < 6; count += 1) {
    const again = await ask('/', { cookie: `a=1; ${cookie}; b=2` })
    t.equal(again.text, first.text)
    t.equal(again.headers['set-cookie'], undefined)
  }
  const seen = new Set<string>()
  for (let count = 0; count < 6; count += 1)
    seen.add((await ask('/', { cookie: '__berth_replica=nonsense' })).text)
  t.equal(seen.size, 2, 'whoever has none is spread')
  const other = first.text === 'one' ? two : one
  all.publish({ ...route(HOST, other), rules })
  const moved = await ask('/', { cookie })
  t.not(moved.text, first.text)
  t.ok(moved.headers['set-cookie'], 'and keeps the next one')
})

test('a client keeps a replica of each service that paths lead to', async (t) => {
  const start = (name: string) => startReplica(t, (_, response) => response.end(name))
  const { ask, all } = await openRules(t, {})
  const paths = [{ prefix: '/api', hostname: 'api.demo.localhost', strip: false }]
  all.publish(
    { ...route(HOST, await start('one'), await start('two')), rules: { sticky: true, paths } },
    route('api.demo.localhost', await start('three'), await start('four')),
  )
  const cookies = new Set<string>()
  const seen = new Map<string, Set<string>>()
  for (let count = 0; count < 12; count += 1) {
    const path = count % 2 === 0 ? '/' : '/api'
    const answer = await ask(path, cookies.size > 0 ? { cookie: [...cookies].join('; ') } : {})
    for (const cookie of answer.headers['set-cookie'] ?? []) cookies.add(cookie.split(';')[0] ?? '')
    seen.set(path, (seen.get(path) ?? new Set()).add(answer.text))
  }
  t.equal(cookies.size, 2)
  t.match([...cookies].toSorted(), [/^__berth_replica=/, /^__berth_replica_[0-9a-f]{8}=/])
  t.same([seen.get('/')?.size, seen.get('/api')?.size], [1, 1])
})

test('what a rule answered stands in the access log', async (t) => {
  const { ask, all } = await openRules(t, { deny: ['127.0.0.1'] })
  await ask('/secret?x')
  t.match(all.context.access.take(10).entries, [
    { path: '/secret', status: 403, deployment_id: null, service_id: 'service' },
  ])
})
