import { test } from 'tap'
import {
  forwardedLines,
  namedAddress,
  NO_CLAIMS,
  plainAddress,
} from '../../../src/ingress/messages/forwarded.ts'
import { createAddressList } from '../../../src/lib/address-list.ts'
import { bodyOf, exchangeRaw, get, HOST, route, startProxy, startReplica } from './proxy-fixture.ts'
import type { Test } from 'tap'

/** Sends a GET with these lines and gives the header fields that the application saw, names in lower case. */
async function seenWith(t: Test, lines: string, trusted: string[] = []): Promise<Record<string, string[]>> {
  const replica = await startReplica(t, (request, response) => {
    const fields: Record<string, string[]> = {}
    for (let index = 0; index < request.rawHeaders.length; index += 2) {
      const name = request.rawHeaders[index]?.toLowerCase() ?? ''
      fields[name] = [...(fields[name] ?? []), request.rawHeaders[index + 1] ?? '']
    }
    response.end(JSON.stringify(fields))
  })
  const { port, publish } = await startProxy(t, { trusted })
  publish(route(HOST, replica))
  return JSON.parse(bodyOf(await exchangeRaw(t, port, get('/', HOST, lines)))) as Record<string, string[]>
}

const CLAIMS =
  'X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil.example\r\n' +
  'Forwarded: for=1.2.3.4\r\nX-Forwarded-Port: 444\r\nX-Real-IP: 1.2.3.4\r\n' +
  'X_Forwarded_For: 1.2.3.4\r\nX-Forwarded_Proto: https\r\n'

test('what a stranger claims about the client is replaced by what is known', async (t) => {
  const seen = await seenWith(t, CLAIMS)
  t.same(seen['x-forwarded-for'], ['127.0.0.1'])
  t.same(seen['x-forwarded-proto'], ['http'])
  t.same(seen['x-forwarded-host'], [HOST])
  t.same(seen['forwarded'], [`for=127.0.0.1;host=${HOST};proto=http`])
  for (const name of ['x-forwarded-port', 'x-real-ip', 'x_forwarded_for', 'x-forwarded_proto']) {
    t.notOk(seen[name], `${name} does not reach the application`)
  }
})

test('what a trusted proxy claims is kept, with its own address behind it', async (t) => {
  const seen = await seenWith(t, CLAIMS, ['127.0.0.0/8'])
  t.same(seen['x-forwarded-for'], ['1.2.3.4, 127.0.0.1'])
  t.same(seen['x-forwarded-proto'], ['https'])
  t.same(seen['x-forwarded-host'], ['evil.example'])
  t.same(seen['forwarded'], [`for=1.2.3.4, for=127.0.0.1;host=${HOST};proto=https`])
  t.same(seen['x-forwarded-port'], ['444'])
  t.same(seen['x-real-ip'], ['1.2.3.4'])
  t.notOk(seen['x_forwarded_for'], 'the disguised spelling goes in any case')
})

test('fields of this hop end here, with those that Connection names', async (t) => {
  const seen = await seenWith(
    t,
    'Keep-Alive: timeout=5\r\nProxy-Connection: x\r\nProxy-Authorization: Basic x\r\nTE: gzip\r\nUpgrade: h2c\r\n' +
      'HTTP2-Settings: AAA\r\nConnection: X-Private, Upgrade, Authorization\r\nX-Private: 1\r\nAuthorization: Bearer x\r\nX-Kept: 2\r\n',
  )
  t.same(Object.keys(seen).toSorted(), [
    'forwarded',
    'host',
    'x-forwarded-for',
    'x-forwarded-host',
    'x-forwarded-proto',
    'x-kept',
    'x-request-id',
  ])
})

test('Connection cannot name away what the proxy itself says', async (t) => {
  const seen = await seenWith(t, 'Connection: Host, X-Forwarded-For, Content-Length, X-Request-Id\r\n')
  t.same(seen['host'], [HOST])
  t.same(seen['x-forwarded-for'], ['127.0.0.1'])
  t.ok(seen['x-request-id'])
})

test('order, case and repetition of other fields are kept, and bytes beyond ASCII', async (t) => {
  const replica = await startReplica(t, (request, response) =>
    response.end(request.rawHeaders.join('|'), 'latin1'),
  )
  const { port, publish } = await startProxy(t)
  publish(route(HOST, replica))
  const text = bodyOf(
    await exchangeRaw(
      t,
      port,
      get('/', HOST, 'x-B: 1\r\nX-a: \u00e9\r\nX-B: 2\r\nCookie: a=1\r\nCookie: b=2\r\n'),
    ),
  )
  t.match(text, 'x-B|1|X-a|\u00e9|X-B|2|Cookie|a=1|Cookie|b=2')
})

test('a sane request id is passed on, another one is replaced', async (t) => {
  t.same((await seenWith(t, 'X-Request-Id: abc-123\r\n'))['x-request-id'], ['abc-123'])
  for (const bad of ['a b', '<script>', 'x'.repeat(129), '']) {
    const ids = (await seenWith(t, `X-Request-Id: ${bad}\r\n`))['x-request-id']
    t.equal(ids?.length, 1)
    t.match(ids?.[0], /^[0-9a-f]{32}$/)
  }
})

test('TE: trailers is passed on as this hop’s own', async (t) => {
  const seen = await seenWith(t, 'TE: trailers, deflate\r\n')
  t.same(seen['te'], ['trailers'])
  t.same(seen['connection'], ['TE'])
})

test('addresses are written as RFC 7239 wants them', async (t) => {
  t.match(
    forwardedLines({ address: '2001:db8::1', secure: false }, 'a.example:8443', NO_CLAIMS),
    'Forwarded: for="[2001:db8::1]";host="a.example:8443";proto=http\r\n',
  )
  t.match(
    forwardedLines({ address: '2001:db8::1', secure: false }, 'a.example', NO_CLAIMS),
    'X-Forwarded-For: 2001:db8::1\r\n',
  )
  t.equal(plainAddress('::ffff:10.0.0.1'), '10.0.0.1')
  t.equal(plainAddress('::1'), '::1')
})

test('addresses with ports, as some proxies write them, are addresses', (t) => {
  const table: [text: string, address: string][] = [
    ['192.0.2.1:4711', '192.0.2.1'],
    ['[2001:db8::1]:4711', '2001:db8::1'],
    ['[2001:db8::1]', '2001:db8::1'],
    ['[::ffff:192.0.2.1]:80', '192.0.2.1'],
    ['2001:db8::1', '2001:db8::1'],
    ['192.0.2.1', '192.0.2.1'],
    ['unknown', 'unknown'],
    ['_hidden:80', '_hidden:80'],
  ]
  for (const [text, address] of table) t.equal(namedAddress(text), address)
  t.end()
})

test('trusted peers are addresses and ranges, and nothing else', async (t) => {
  const isTrusted = createAddressList(['10.0.0.0/8', '2001:db8::/32', '192.0.2.7'])
  for (const address of ['10.255.0.1', '2001:db8:1::2', '192.0.2.7']) t.ok(isTrusted(address), address)
  for (const address of ['11.0.0.1', '2001:db9::1', '192.0.2.8', 'unknown', ''])
    t.notOk(isTrusted(address), address)
  for (const entry of ['example.com', '10.0.0.0/33', '10.0.0.0/8/9', '10.0.0.0/x', '::/129', '']) {
    t.throws(() => createAddressList([entry]), /is not an IP address or a CIDR range/, entry)
  }
})
