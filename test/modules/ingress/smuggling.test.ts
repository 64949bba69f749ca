import { test } from 'tap'
import {
  exchangeRaw,
  HOST,
  RawClient,
  route,
  startProxy,
  startRawReplica,
  startReplica,
  statusOf,
} from './proxy-fixture.ts'

const HEAD = `POST /a HTTP/1.1\r\nHost: ${HOST}\r\n`
const HIDDEN = `GET /hidden HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`

/** Requests that two parsers could frame differently. None may reach an application, and nothing behind them may be served. */
const REFUSED: [name: string, request: string][] = [
  ['CL.TE', `${HEAD}Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG`],
  ['TE.CL', `${HEAD}Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n8\r\nSMUGGLED\r\n0\r\n\r\n`],
  [
    'TE.TE with another coding',
    `${HEAD}Transfer-Encoding: chunked\r\nTransfer-Encoding: cow\r\n\r\n0\r\n\r\n`,
  ],
  ['TE.TE twice', `${HEAD}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`],
  ['a list of codings', `${HEAD}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n`],
  ['chunked before another coding', `${HEAD}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n`],
  ['a misspelt coding', `${HEAD}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n`],
  ['a quoted coding', `${HEAD}Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n`],
  ['a coding with a tab', `${HEAD}Transfer-Encoding:\tchunked\u000b\r\n\r\n0\r\n\r\n`],
  ['a coding in a folded line', `${HEAD}Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n`],
  ['a blank before the colon', `${HEAD}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n`],
  ['a blank before the field', `${HEAD} Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n`],
  ['chunks in HTTP/1.0', `POST /a HTTP/1.0\r\nHost: ${HOST}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`],
  ['two lengths', `${HEAD}Content-Length: 0\r\nContent-Length: 5\r\n\r\nhello`],
  ['two equal lengths', `${HEAD}Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello`],
  ['a list of lengths', `${HEAD}Content-Length: 5, 5\r\n\r\nhello`],
  ['a signed length', `${HEAD}Content-Length: +5\r\n\r\nhello`],
  ['a negative length', `${HEAD}Content-Length: -1\r\n\r\n`],
  ['a hexadecimal length', `${HEAD}Content-Length: 0x5\r\n\r\nhello`],
  ['an empty length', `${HEAD}Content-Length:\r\n\r\n`],
  ['a length that overflows', `${HEAD}Content-Length: 18446744073709551621\r\n\r\nhello`],
  ['a length with a blank inside', `${HEAD}Content-Length: 5 6\r\n\r\nhello`],
  ['two hosts', `${HEAD}Host: other.localhost\r\n\r\n`],
  ['two equal hosts', `${HEAD}Host: ${HOST}\r\n\r\n`],
  ['no host', 'GET /a HTTP/1.1\r\n\r\n'],
  ['an empty host', 'GET /a HTTP/1.1\r\nHost:\r\n\r\n'],
  ['a host with a path', `GET /a HTTP/1.1\r\nHost: ${HOST}/x\r\n\r\n`],
  ['a host with a blank', `GET /a HTTP/1.1\r\nHost: ${HOST} x\r\n\r\n`],
  ['a host with a user', `GET /a HTTP/1.1\r\nHost: x@${HOST}\r\n\r\n`],
  ['a host with a quote', `GET /a HTTP/1.1\r\nHost: ${HOST}"\r\n\r\n`],
  ['a port that is no number', `GET /a HTTP/1.1\r\nHost: ${HOST}:80x\r\n\r\n`],
  ['a folded line', `${HEAD}X-A: 1\r\n 2\r\n\r\n`],
  ['a NUL in a value', `${HEAD}X-A: 1\u00002\r\n\r\n`],
  ['a NUL in a name', `${HEAD}X\u0000A: 1\r\n\r\n`],
  ['a NUL in the target', `GET /a\u0000b HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`],
  ['a bare carriage return in a value', `${HEAD}X-A: 1\rX-B: 2\r\n\r\n`],
  ['a bare line feed between fields', `${HEAD}X-A: 1\nX-B: 2\r\n\r\n`],
  ['bare line feeds only', `POST /a HTTP/1.1\nHost: ${HOST}\n\n`],
  ['a field without a colon', `${HEAD}abc\r\n\r\n`],
  ['a field without a name', `${HEAD}: abc\r\n\r\n`],
  ['a space in a name', `${HEAD}X A: 1\r\n\r\n`],
  ['a blank in the target', `GET /a b HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`],
  ['another version', `GET /a HTTP/3.7\r\nHost: ${HOST}\r\n\r\n`],
  ['version 2 by name', `GET /a HTTP/2.0\r\nHost: ${HOST}\r\n\r\n`],
  ['no version', `GET /a\r\nHost: ${HOST}\r\n\r\n`],
  ['the preface of HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'],
  ['a method that does not exist', `G\u0000T /a HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`],
]

for (const [name, text] of REFUSED) {
  test(`a request with ${name} is refused and nothing behind it is served`, async (t) => {
    const seen: string[] = []
    const replica = await startRawReplica(t, (socket) => {
      socket.on('data', (piece: Buffer) => {
        seen.push(piece.toString('latin1'))
        socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok')
      })
    })
    const { port, publish } = await startProxy(t)
    publish(route(HOST, replica))
    const response = await exchangeRaw(t, port, text + HIDDEN)
    if (response !== '') t.match(String(statusOf(response)), /^(400|431|505)$/)
    t.equal(response.match(/HTTP\/1\.1 /g)?.length ?? 0, response === '' ? 0 : 1, 'one answer at most')
    t.same(seen, [])
  })
}

/** Bodies that break after their header section has gone to the application, which must not take them for whole. */
const CUT_OFF: [name: string, body: string][] = [
  ['a size that is no number', 'xyz\r\nhello\r\n0\r\n\r\n'],
  ['a signed size', '+5\r\nhello\r\n0\r\n\r\n'],
  ['a hexadecimal prefix', '0x5\r\nhello\r\n0\r\n\r\n'],
  ['a negative size', '-5\r\nhello\r\n0\r\n\r\n'],
  ['no size', '\r\nhello\r\n0\r\n\r\n'],
  ['a size that overflows', '10000000000000005\r\nhello\r\n0\r\n\r\n'],
  ['a chunk longer than its size', '5\r\nhelloworld\r\n0\r\n\r\n'],
  ['a bare line feed behind the size', '5\nhello\r\n0\r\n\r\n'],
  ['a bare carriage return in an extension', '5;a=\rb\r\nhello\r\n0\r\n\r\n'],
  ['a bare line feed in an extension', '5;a\nb\r\nhello\r\n0\r\n\r\n'],
  ['a length among the trailers', '5\r\nhello\r\n0\r\nContent-Length: 5\r\n\r\n'],
]

for (const [name, body] of CUT_OFF) {
  test(`a chunked body with ${name} never becomes whole`, async (t) => {
    let whole = 0
    const paths: string[] = []
    const replica = await startReplica(t, (request, response) => {
      paths.push(request.url ?? '')
      request.on('error', () => {})
      request.resume()
      request.on('end', () => {
        whole += 1
        response.end()
      })
    })
    const { port, publish } = await startProxy(t)
    publish(route(HOST, replica))
    const response = await exchangeRaw(t, port, `${HEAD}Transfer-Encoding: chunked\r\n\r\n${body}${HIDDEN}`)
    if (response !== '') t.equal(statusOf(response), 400)
    t.equal(whole, 0)
    t.notOk(paths.includes('/hidden'))
  })
}

test('an upgrade to anything but WebSocket stays HTTP, and so does one with a body', async (t) => {
  const seen: (string | undefined)[] = []
  const replica = await startReplica(t, (request, response) => {
    seen.push(request.headers.upgrade, request.headers['content-length'])
    request.resume()
    request.on('end', () => response.end('plain'))
  })
  const { port, publish } = await startProxy(t)
  publish(route(HOST, replica))
  const client = await RawClient.open(t, port)
  client.send(
    `GET / HTTP/1.1\r\nHost: ${HOST}\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n`,
  )
  t.equal(statusOf(await client.response()), 200)
  client.send(
    `GET / HTTP/1.1\r\nHost: ${HOST}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 5\r\n\r\nhello`,
  )
  t.equal(statusOf(await client.response()), 200)
  client.send(`POST / HTTP/1.1\r\nHost: ${HOST}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n`)
  t.equal(statusOf(await client.response()), 200)
  client.send(`GET / HTTP/1.1\r\nHost: ${HOST}\r\nConnection: close\r\n\r\n`)
  t.equal(statusOf(await client.rest()), 200, 'the connection is still in step')
  t.same(seen, [undefined, undefined, undefined, '5', undefined, undefined, undefined, undefined])
})

test('oddities that have one meaning only reach the application', async (t) => {
  const seen: string[] = []
  const replica = await startReplica(t, (request, response) => {
    let body = ''
    request.on('data', (piece: Buffer) => (body += piece.toString()))
    request.on('end', () => {
      seen.push(`${request.method} ${request.url} ${body}`)
      response.end()
    })
  })
  const { port, publish } = await startProxy(t)
  publish(route(HOST, replica))
  const client = await RawClient.open(t, port)
  client.send(`\r\nGET /a?b=c#d HTTP/1.1\r\nhOsT:${HOST}\r\nX-Empty:\r\nX-Blank:   \r\n\r\n`)
  t.equal(statusOf(await client.response()), 200)
  client.send(`${HEAD}tRaNsFeR-eNcOdInG: ChUnKeD\r\n\r\n0005;x=y\r\nhello\r\n0\r\n\r\n`)
  t.equal(statusOf(await client.response()), 200)
  client.send(`${HEAD}Content-Length:  0005 \r\nConnection: close\r\n\r\nhello`)
  t.equal(statusOf(await client.rest()), 200)
  t.same(seen, ['GET /a?b=c#d ', 'POST /a hello', 'POST /a hello'])
})
