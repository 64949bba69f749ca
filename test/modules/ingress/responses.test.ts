import { test } from 'tap'
import {
  bodyOf,
  exchangeRaw,
  gate,
  get,
  HOST,
  RawClient,
  route,
  startCannedReplica,
  startProxy,
  startRawReplica,
  startReplica,
  statusOf,
} from './proxy-fixture.ts'

/** Responses that two readers could understand in two ways, or that are no HTTP at all. */
const REFUSED: [name: string, response: string][] = [
  ['no HTTP', 'hello there, this is not HTTP\r\n\r\n'],
  ['another protocol version', 'HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nok'],
  ['a status of two digits', 'HTTP/1.1 20 OK\r\n\r\n'],
  ['a status of four digits', 'HTTP/1.1 2000 OK\r\n\r\n'],
  ['a status below 100', 'HTTP/1.1 099 X\r\n\r\n'],
  ['a status above 599', 'HTTP/1.1 600 X\r\nContent-Length: 2\r\n\r\nok'],
  ['a control character in the reason', 'HTTP/1.1 200 O\u0001K\r\n\r\n'],
  ['two lengths', 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nokk'],
  ['two equal lengths', 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok'],
  ['a list of lengths', 'HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok'],
  ['a negative length', 'HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok'],
  ['a signed length', 'HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok'],
  ['a hexadecimal length', 'HTTP/1.1 200 OK\r\nContent-Length: 0x2\r\n\r\nok'],
  ['an empty length', 'HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\nok'],
  ['a length beyond every bound', 'HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nok'],
  [
    'a length and chunks',
    'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n',
  ],
  ['a tab behind its coding', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\t\r\n\r\n0\r\n\r\n'],
  ['a tab before its length', 'HTTP/1.1 200 OK\r\nContent-Length:\t2\r\n\r\nok'],
  ['another coding', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n'],
  [
    'chunked twice',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
  ],
  ['chunks in HTTP/1.0', 'HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'],
  ['a folded line', 'HTTP/1.1 200 OK\r\nX-A: 1\r\n 2\r\nContent-Length: 2\r\n\r\nok'],
  ['a blank before the colon', 'HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nok'],
  ['a field without a name', 'HTTP/1.1 200 OK\r\n: 2\r\n\r\nok'],
  ['a field without a colon', 'HTTP/1.1 200 OK\r\nabc\r\n\r\nok'],
  ['a NUL in a value', 'HTTP/1.1 200 OK\r\nX-A: a\u0000b\r\nContent-Length: 2\r\n\r\nok'],
  ['a bare line feed between fields', 'HTTP/1.1 200 OK\r\nX-A: 1\nContent-Length: 2\r\n\r\nok'],
  ['bare line feeds only', 'HTTP/1.1 200 OK\nContent-Length: 2\n\nok'],
  ['a bare carriage return', 'HTTP/1.1 200 OK\r\nX-A: 1\rX-B: 2\r\nContent-Length: 2\r\n\r\nok'],
  [
    'too large a header section',
    `HTTP/1.1 200 OK\r\nX-A: ${'a'.repeat(70_000)}\r\nContent-Length: 2\r\n\r\nok`,
  ],
  ['too many fields', `HTTP/1.1 200 OK\r\n${'X-A: 1\r\n'.repeat(501)}Content-Length: 2\r\n\r\nok`],
  [
    'a switch of protocols that nobody asked for',
    'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n',
  ],
  ['endless interim responses', 'HTTP/1.1 103 Early Hints\r\nX-A: 1\r\n\r\n'.repeat(20)],
  ['an interim response with a body', 'HTTP/1.1 103 Early Hints\r\nContent-Length: 5\r\n\r\nhello'],
]

for (const [name, canned] of REFUSED) {
  test(`a response with ${name} becomes 502 and its connection is not used again`, async (t) => {
    const { port, publish, context } = await startProxy(t)
    publish(route(HOST, await startCannedReplica(t, canned)))
    const response = await exchangeRaw(t, port, get('/'))
    t.equal(statusOf(response.slice(response.lastIndexOf('HTTP/1.1 502'))), 502)
    t.equal(context.counters.bad_responses, 1)
    t.equal(openUpstreams(context), 0)
  })
}

function openUpstreams(context: { routes: { states(): Iterable<{ connections: Set<unknown> }> } }): number {
  let open = 0
  for (const upstream of context.routes.states()) open += upstream.connections.size
  return open
}

/** Bodies that break after the header section went out: the client must see the break. */
const CUT_OFF: [name: string, response: string][] = [
  ['ends before its length', 'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf'],
  ['ends in the middle of a chunk', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\nhalf'],
  ['ends without the last chunk', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n'],
  [
    'has a chunk without a size',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n\r\n\r\n',
  ],
  [
    'has a signed chunk size',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n+4\r\nhalf\r\n0\r\n\r\n',
  ],
  [
    'has a chunk size with a blank',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n4 \r\nhalf\r\n0\r\n\r\n',
  ],
  [
    'has a chunk size that overflows',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n10000000000000004\r\nhalf\r\n0\r\n\r\n',
  ],
  [
    'has a chunk longer than its size',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalfmore\r\n0\r\n\r\n',
  ],
  [
    'has bare line feeds around chunks',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\n0\n\n',
  ],
  [
    'has a control character in a chunk extension',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n4;a\u0001\r\nhalf\r\n0\r\n\r\n',
  ],
  [
    'has a bad trailer',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n0\r\nX A: 1\r\n\r\n',
  ],
]

for (const [name, canned] of CUT_OFF) {
  test(`a body that ${name} is cut off, not completed`, async (t) => {
    const { port, publish, context } = await startProxy(t)
    publish(route(HOST, await startCannedReplica(t, canned, true)))
    const response = await exchangeRaw(t, port, get('/'))
    t.match(response, /^HTTP\/1\.1 200 OK\r\n|^$/)
    t.notMatch(response, /\r\n0\r\n\r\n$/)
    t.notMatch(response, /halfhalf|halfmore/)
    t.equal(context.counters.truncated, 1)
    t.equal(openUpstreams(context), 0)
  })
}

test('a response that is delimited by the end of the connection is passed on in chunks', async (t) => {
  const { port, publish } = await startProxy(t)
  publish(route(HOST, await startCannedReplica(t, 'HTTP/1.1 200 OK\r\nX-A: 1\r\n\r\nto the end', true)))
  const response = await exchangeRaw(t, port, get('/'))
  t.match(response, /Transfer-Encoding: chunked\r\n/)
  t.equal(bodyOf(response), 'a\r\nto the end\r\n0\r\n\r\n')
})

test('an HTTP/1.0 application is understood, and its connection is kept only when it says so', async (t) => {
  const connections: number[] = []
  const replica = (keep: string) =>
    startRawReplica(t, (socket, index) => {
      connections.push(index)
      socket.on('data', () => socket.write(`HTTP/1.0 200 OK\r\n${keep}Content-Length: 2\r\n\r\nok`))
    })
  const { port, publish, context } = await startProxy(t)
  publish(route('keeps.localhost', await replica('Connection: keep-alive\r\n')))
  for (let count = 0; count < 2; count += 1) {
    t.equal(bodyOf(await exchangeRaw(t, port, get('/', 'keeps.localhost'))), 'ok')
  }
  t.same(connections, [0])
  publish(route('closes.localhost', await replica('')))
  for (let count = 0; count < 2; count += 1) {
    t.equal(bodyOf(await exchangeRaw(t, port, get('/', 'closes.localhost'))), 'ok')
  }
  t.same(connections, [0, 0, 1])
  t.equal(openUpstreams(context), 0)
})

test('responses to HEAD and with 204 or 304 end with their header section', async (t) => {
  const { port, publish } = await startProxy(t)
  publish(
    route('head.localhost', await startCannedReplica(t, 'HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n')),
    route(
      'chunked.localhost',
      await startCannedReplica(t, 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n'),
    ),
    route(
      'none.localhost',
      await startCannedReplica(t, 'HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n'),
    ),
    route(
      'same.localhost',
      await startCannedReplica(t, 'HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\nETag: "x"\r\n\r\n'),
    ),
  )
  const ask = async (method: string, host: string) => {
    const client = await RawClient.open(t, port)
    // The second request shows that both sides agree on where the first answer ended.
    client.send(
      `${method} / HTTP/1.1\r\nHost: ${host}\r\n\r\n${method} / HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`,
    )
    const text = await client.rest()
    t.equal(text.match(/HTTP\/1\.1 /g)?.length, 2, `${method} ${host}`)
    t.equal(bodyOf(text.slice(text.lastIndexOf('HTTP/1.1 '))), '')
    return text
  }
  t.match(await ask('HEAD', 'head.localhost'), /Content-Length: 1234\r\n/)
  t.notMatch(await ask('HEAD', 'chunked.localhost'), /Content-Length/i)
  t.notMatch(await ask('GET', 'none.localhost'), /Content-Length|Transfer-Encoding/i)
  t.match(await ask('GET', 'same.localhost'), /Content-Length: 99\r\n/)
})

test('bytes behind a response are never taken for the next one', async (t) => {
  const stray = 'HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison'
  let connections = 0
  const replica = await startRawReplica(t, (socket) => {
    connections += 1
    socket.on('data', () => socket.write(`HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok${stray}`))
  })
  const { port, publish } = await startProxy(t)
  publish(route(HOST, replica))
  for (let count = 0; count < 3; count += 1) t.equal(bodyOf(await exchangeRaw(t, port, get('/'))), 'ok')
  t.equal(connections, 3)
})

test('bytes that come on an idle connection close it', async (t) => {
  const poisoned = gate()
  let connections = 0
  const replica = await startRawReplica(t, (socket) => {
    connections += 1
    const first = connections === 1
    socket.on('data', () => {
      socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok')
      if (first) setImmediate(() => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison'))
    })
    socket.on('close', () => first && poisoned.open())
  })
  const { port, publish } = await startProxy(t)
  publish(route(HOST, replica))
  t.equal(bodyOf(await exchangeRaw(t, port, get('/'))), 'ok')
  await poisoned.opened
  t.equal(bodyOf(await exchangeRaw(t, port, get('/'))), 'ok')
  t.equal(connections, 2)
})

test('hop-by-hop fields of a response end here; others keep their case, order and repetition', async (t) => {
  const canned =
    'HTTP/1.1 299 My Own Reason\r\nX-b: 1\r\nConnection: keep-alive, X-Private\r\nX-Private: 1\r\nKeep-Alive: timeout=9\r\n' +
    'Proxy-Connection: x\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nUpgrade: h2c\r\nTE: x\r\nX-B: \u00e9\r\n' +
    'Content-Disposition: attachment; filename="\u00c3\u00a9.txt"\r\nContent-Length: 2\r\n\r\nok'
  const { port, publish } = await startProxy(t)
  publish(route(HOST, await startCannedReplica(t, canned)))
  const response = await exchangeRaw(t, port, get('/'))
  t.match(response, /^HTTP\/1\.1 299 My Own Reason\r\n/)
  t.match(
    response,
    'X-b: 1\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nX-B: \u00e9\r\nContent-Disposition: attachment; filename="\u00c3\u00a9.txt"\r\n',
  )
  t.notMatch(response, /X-Private|timeout=9|Proxy-Connection|h2c|^TE/im)
})

test('Connection: close of a response is obeyed even when keep-alive stands beside it', async (t) => {
  let connections = 0
  const replica = await startRawReplica(t, (socket) => {
    connections += 1
    socket.on('data', () =>
      socket.write(
        'HTTP/1.1 200 OK\r\nConnection: close\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok',
      ),
    )
  })
  const { port, publish } = await startProxy(t)
  publish(route(HOST, replica))
  await exchangeRaw(t, port, get('/'))
  await exchangeRaw(t, port, get('/'))
  t.equal(connections, 2)
})

test('early hints reach the client before the answer, and 100 only when it asked', async (t) => {
  const { port, publish } = await startProxy(t)
  const canned =
    'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n' +
    'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'
  publish(route(HOST, await startCannedReplica(t, canned)))
  const response = await exchangeRaw(t, port, get('/'))
  t.match(
    response,
    /^HTTP\/1\.1 103 Early Hints\r\nLink: <\/a\.css>; rel=preload\r\n\r\nHTTP\/1\.1 200 OK\r\n/,
  )
  const old = await exchangeRaw(t, port, `GET / HTTP/1.0\r\nHost: ${HOST}\r\n\r\n`)
  t.match(old, /^HTTP\/1\.1 200 OK\r\n/, 'an HTTP/1.0 client does not know of interim responses')
})

test('trailers of a response reach the client, those that would frame or route do not', async (t) => {
  const canned =
    'HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 42\r\nContent-Length: 9\r\nHost: x\r\n\r\n'
  const { port, publish, context } = await startProxy(t)
  publish(route(HOST, await startCannedReplica(t, canned)))
  const response = await exchangeRaw(t, port, get('/'))
  t.match(response, /Trailer: X-Sum\r\n/)
  t.equal(bodyOf(response), '2\r\nok\r\n0\r\nX-Sum: 42\r\n\r\n')
  t.equal(openUpstreams(context), 1, 'the connection is kept')
})

test('a response that arrives byte by byte is the same response', async (t) => {
  const canned =
    'HTTP/1.1 103 Early Hints\r\nX-A: 1\r\n\r\nHTTP/1.1 200 OK\r\nTrailer: X-T\r\nTransfer-Encoding: chunked\r\n\r\n' +
    '5;ext="v"\r\nhello\r\n0006\r\n world\r\n0\r\nX-T: 1\r\n\r\n'
  const replica = await startRawReplica(t, (socket) => {
    socket.setNoDelay(true)
    socket.once('data', () => {
      const next = (index: number): void => {
        if (index < canned.length)
          socket.write(canned[index] ?? '', 'latin1', () => setImmediate(next, index + 1))
      }
      next(0)
    })
  })
  const { port, publish, context } = await startProxy(t)
  publish(route(HOST, replica))
  const response = await exchangeRaw(t, port, get('/'))
  t.match(response, /^HTTP\/1\.1 103 Early Hints\r\nX-A: 1\r\n\r\nHTTP\/1\.1 200 OK\r\n/)
  const chunks = bodyOf(response.slice(response.indexOf('HTTP/1.1 200')))
  t.equal(chunks.replaceAll(/[0-9a-f]+\r\n([^\r]*)\r\n/g, '$1'), 'hello worldX-T: 1\r\n')
  t.equal(openUpstreams(context), 1)
})

test('an application that dies while it answers costs no other request', async (t) => {
  const replica = await startReplica(t, (request, response) => {
    if (request.url === '/die') {
      response.write('half')
      setImmediate(() => request.socket.destroy())
    } else response.end('well')
  })
  const { port, publish } = await startProxy(t)
  publish(route(HOST, replica))
  const [dead, well] = await Promise.all([exchangeRaw(t, port, get('/die')), exchangeRaw(t, port, get('/'))])
  t.notMatch(dead, /0\r\n\r\n$/)
  t.equal(bodyOf(well), 'well')
})
