import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { createServer as createTcpServer, type AddressInfo, type Server } from 'node:net'
import { type Test, test } from 'tap'
import { fetchChallenge } from '../../../src/modules/domains/challenge-fetch.ts'
import { createHttpCheck, type HttpCheckDeps } from '../../../src/modules/domains/http-check.ts'
import { createNameLookup } from '../../../src/modules/domains/name-lookup.ts'
import { startDnsServer } from '../../support/dns-server.ts'

const TOKEN = 'the-token'
const CLAIM = { hostname: 'shop.example.com', token: TOKEN, service_id: 's1' }
const signal = new AbortController().signal

async function listening(t: Test, server: Server, address = '127.0.0.1'): Promise<number> {
  server.listen(0, address)
  await once(server, 'listening')
  t.teardown(() => server.close())
  return (server.address() as AddressInfo).port
}

async function openCheck(t: Test, options: Partial<HttpCheckDeps> = {}) {
  const dns = await startDnsServer(t)
  const check = createHttpCheck({
    lookup: createNameLookup([dns.address], 300),
    port: () => 80,
    allowInternal: true,
    ownAddresses: () => ['198.51.100.7', '8.8.4.4'],
    timeoutMs: 500,
    ...options,
  })
  return { dns, check: () => check(CLAIM, signal) }
}

test('a name that answers with the token is proven; the request is what it should be', async (t) => {
  const seen: IncomingMessage[] = []
  const port = await listening(
    t,
    createServer((request, response) => {
      seen.push(request)
      response.end(`${TOKEN}\n`)
    }),
  )
  const { dns, check } = await openCheck(t, { port: () => port })
  dns.zones.set(CLAIM.hostname, { a: ['127.0.0.1'] })
  t.same(await check(), { ok: true })
  t.match(seen[0], { method: 'GET', url: `/.well-known/denia-challenge/${TOKEN}` })
  t.equal(seen[0]?.headers.host, `${CLAIM.hostname}:${port}`)
  t.notOk(seen[0]?.headers.authorization ?? seen[0]?.headers.cookie)
})

const ANSWERS: [string, (response: ServerResponse) => void, { code: string; reason: RegExp }][] = [
  [
    'wrong body',
    (response) => response.end('hello'),
    {
      code: 'wrong_body',
      reason: /something else than the token.*points to 127\.0\.0\.1; this node is 8\.8\.4\.4/,
    },
  ],
  [
    'endless body',
    (response) => response.end('x'.repeat(1_000_000)),
    { code: 'wrong_body', reason: /something else/ },
  ],
  [
    'not found',
    (response) => response.writeHead(404).end(TOKEN),
    { code: 'wrong_status', reason: /answers 404/ },
  ],
  [
    'redirect',
    (response) => response.writeHead(301, { location: 'https://shop.example.com/\u00e9' }).end(),
    { code: 'redirected', reason: /redirect \(301 to https:\/\/shop\.example\.com/ },
  ],
  [
    'another protocol',
    (response) => {
      const head = 'HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n'
      response.socket?.write(head)
    },
    { code: 'wrong_status', reason: /answers 101/ },
  ],
  ['silence', () => {}, { code: 'timed_out', reason: /did not answer/ }],
  ['cut', (response) => response.destroy(), { code: 'unreachable', reason: /ECONNRESET/ }],
]

test('what answers something else is told apart', async (t) => {
  for (const [name, answer, expected] of ANSWERS) {
    const server = createServer((_, response) => answer(response))
    const port = await listening(t, server)
    const { dns, check } = await openCheck(t, { port: () => port })
    dns.zones.set(CLAIM.hostname, { a: ['127.0.0.1'] })
    t.match(await check(), { ok: false, ...expected }, name)
    server.closeAllConnections()
  }
})

test('a redirect is not followed, not even to ourselves', async (t) => {
  let asked = 0
  const port = await listening(
    t,
    createServer((request, response) => {
      asked += 1
      if (request.url === '/proof') response.end(TOKEN)
      else response.writeHead(302, { location: '/proof' }).end()
    }),
  )
  const { dns, check } = await openCheck(t, { port: () => port })
  dns.zones.set(CLAIM.hostname, { a: ['127.0.0.1'] })
  t.match(await check(), { ok: false, code: 'redirected' })
  t.equal(asked, 1)
})

test('a port that nobody listens on is told from a firewall', async (t) => {
  const closed = createTcpServer()
  const port = await listening(t, closed)
  closed.close()
  await once(closed, 'close')
  const { dns, check } = await openCheck(t, { port: () => port })
  dns.zones.set(CLAIM.hostname, { a: ['127.0.0.1'] })
  t.match(await check(), { code: 'connection_refused', reason: /refuses connections on port/ })
})

test('DNS without a record, DNS that fails and DNS that is silent are three things', async (t) => {
  const { dns, check } = await openCheck(t)
  t.match(await check(), { code: 'no_dns_record', reason: /has no A or AAAA record. Point it to 8\.8\.4\.4/ })
  dns.zones.set(CLAIM.hostname, { txt: ['x'] })
  t.match(await check(), { code: 'no_dns_record' })
  dns.zones.set(CLAIM.hostname, 'servfail')
  t.match(await check(), { code: 'dns_unavailable', reason: /ESERVFAIL/ })
  dns.zones.set(CLAIM.hostname, 'silent')
  t.match(await check(), { code: 'dns_unavailable', reason: /ETIMEOUT/ })
})

test('internal addresses are not asked unless that is allowed, also when one of several is internal', async (t) => {
  let asked = 0
  const { dns, check } = await openCheck(t, {
    allowInternal: false,
    fetch: async () => {
      asked += 1
      return { kind: 'answer', status: 200, location: undefined, body: TOKEN }
    },
  })
  for (const zone of [
    { a: ['127.0.0.1'] },
    { a: ['8.8.8.8', '10.0.0.1'] },
    { a: ['8.8.8.8'], aaaa: ['fd00::1'] },
  ]) {
    dns.zones.set(CLAIM.hostname, zone)
    t.match(await check(), { code: 'internal_address', reason: /internal address/ })
  }
  t.equal(asked, 0)
  dns.zones.set(CLAIM.hostname, { a: ['8.8.8.8'] })
  t.same(await check(), { ok: true })
})

test('what is asked is the address that was checked: the name is looked up once', async (t) => {
  const asked: string[] = []
  const { dns, check } = await openCheck(t, {
    fetch: async ({ address }) => {
      // A name server that changes its mind between check and use gets nowhere.
      dns.zones.set(CLAIM.hostname, { a: ['127.0.0.1'] })
      asked.push(address)
      return { kind: 'failed', why: 'connection_refused', error: 'ECONNREFUSED' }
    },
  })
  dns.zones.set(CLAIM.hostname, { a: ['9.9.9.1', '9.9.9.2', '9.9.9.3', '9.9.9.4', '9.9.9.5'] })
  t.match(await check(), {
    code: 'connection_refused',
    reason: /points to 9\.9\.9\.4; this node is 8\.8\.4\.4/,
  })
  t.same(asked, ['9.9.9.1', '9.9.9.2', '9.9.9.3', '9.9.9.4'])
})

test('an address of this node that refuses is not said to be somewhere else', async (t) => {
  const { dns, check } = await openCheck(t, {
    fetch: async () => ({ kind: 'failed', why: 'connection_refused', error: 'ECONNREFUSED' }),
  })
  dns.zones.set(CLAIM.hostname, { a: ['8.8.4.4'] })
  const outcome = await check()
  t.notMatch(outcome, { reason: /points to/ })
})

test('a node that knows no public address of its own says so, and what tells it', async (t) => {
  const { dns, check } = await openCheck(t, {
    ownAddresses: () => ['10.0.0.1'],
    fetch: async () => ({ kind: 'failed', why: 'connection_refused', error: 'ECONNREFUSED' }),
  })
  dns.zones.set(CLAIM.hostname, { a: ['9.9.9.9'] })
  t.match(await check(), { reason: /points to 9\.9\.9\.9; whether that leads .*public_addresses/ })
})

test('IPv6 that does not lead here does not hide IPv4 that does', async (t) => {
  const { dns, check } = await openCheck(t, {
    fetch: async ({ address }) =>
      address === '9.9.9.9'
        ? { kind: 'answer', status: 200, location: undefined, body: TOKEN }
        : { kind: 'failed', why: 'unreachable', error: 'ENETUNREACH' },
  })
  dns.zones.set(CLAIM.hostname, { a: ['9.9.9.9'], aaaa: ['2a00::1'] })
  t.same(await check(), { ok: true })
})

test('a check that is ended by the daemon throws instead of judging', async (t) => {
  const port = await listening(
    t,
    createServer(() => {}),
  )
  const ending = new AbortController()
  const asked = { address: '127.0.0.1', port, hostname: 'a.example.com', path: '/', timeoutMs: 5000 }
  const running = fetchChallenge(asked, ending.signal)
  ending.abort(new Error('stopping'))
  await t.rejects(running, { message: 'stopping' })
})
