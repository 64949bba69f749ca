import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { type IncomingMessage, request as httpRequest } from 'node:http'
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
  startRawReplica,
  startReplica,
  statusOf,
} from './proxy-fixture.ts'

const MIB = 1024 * 1024

/** Waits until a count that has begun to rise has stayed the same for a good many looks. */
async function standstill(count: () => number): Promise<void> {
  let before = -1
  let looks = 0
  await eventually(() => {
    looks = count() > 0 && count() === before ? looks + 1 : 0
    before = count()
    return looks > 60
  })
}

test('large bodies arrive unchanged in both directions, with a length and in chunks', async (t) => {
  const size = 24 * MIB
  const block = Buffer.alloc(MIB, 'abcdefghijklmnopqrstuvwxyz0123456789')
  const expected = createHash('sha256')
  for (let sent = 0; sent < size; sent += block.length) expected.update(block)
  const digest = expected.digest('hex')
  const replica = await startReplica(t, (request, response) => {
    const hash = createHash('sha256')
    request.on('data', (piece: Buffer) => hash.update(piece))
    request.on('end', () => {
      response.setHeader('X-Digest', hash.digest('hex'))
      if (request.url === '/length') response.setHeader('Content-Length', size)
      let sent = 0
      const more = (): void => {
        while (sent < size) {
          sent += block.length
          if (!response.write(block)) {
            response.once('drain', more)
            return
          }
        }
        response.end()
      }
      more()
    })
  })
  const { port, publish } = await startProxy(t)
  publish(route(HOST, replica))
  for (const path of ['/length', '/chunks']) {
    const outgoing = httpRequest({ port, path, method: 'POST', headers: { host: HOST } })
    if (path === '/length') outgoing.setHeader('Content-Length', size)
    for (let sent = 0; sent < size; sent += block.length)
      if (!outgoing.write(block)) await once(outgoing, 'drain')
    outgoing.end()
    const [response] = (await once(outgoing, 'response')) as [IncomingMessage]
    const hash = createHash('sha256')
    let length = 0
    for await (const piece of response as AsyncIterable<Buffer>) {
      hash.update(piece)
      length += piece.length
    }
    t.equal(response.headers['x-digest'], digest, `${path}: the application got it`)
    t.equal(length, size)
    t.equal(hash.digest('hex'), digest, `${path}: the client got it`)
  }
})

test('an application that answers faster than its client reads is held back', async (t) => {
  const total = 256 * MIB
  let written = 0
  const replica = await startReplica(t, (_request, response) => {
    const block = Buffer.alloc(256 * 1024)
    const more = (): void => {
      while (written < total) {
        written += block.length
        if (!response.write(block)) {
          response.once('drain', more)
          return
        }
      }
    }
    more()
  })
  const { port, publish } = await startProxy(t)
  publish(route(HOST, replica))
  const client = connect(port, '127.0.0.1')
  t.teardown(() => client.destroy())
  client.write(get('/'))
  client.pause()
  // The kernel's buffers fill, then nothing moves any more.
  await standstill(() => written)
  t.ok(written < 64 * MIB, `${written} bytes were taken from the application`)
  const at = written
  client.resume()
  await eventually(() => written > at + 16 * MIB)
  t.pass('it goes on when the client does')
})

test('a client that uploads faster than the application reads is held back', async (t) => {
  const replica = await startReplica(t, (request) => request.pause())
  const { port, publish } = await startProxy(t)
  publish(route(HOST, replica))
  const client = connect(port, '127.0.0.1')
  t.teardown(() => client.destroy())
  client.on('error', () => {})
  client.write(`POST / HTTP/1.1\r\nHost: ${HOST}\r\nContent-Length: ${1024 * MIB}\r\n\r\n`)
  const block = Buffer.alloc(256 * 1024)
  let taken = 0
  const more = (): void => {
    client.write(block, (error) => {
      taken += block.length
      if (!error) more()
    })
  }
  more()
  await standstill(() => taken)
  t.ok(taken < 64 * MIB, `${taken} bytes were taken from the client`)
})

test('server-sent events arrive one by one', async (t) => {
  const go = [gate(), gate(), gate()]
  const replica = await startReplica(t, (_request, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    response.flushHeaders()
    for (const [index, { opened }] of go.entries())
      void opened.then(() => response.write(`data: ${index}\n\n`))
  })
  const { port, publish } = await startProxy(t)
  publish(route(HOST, replica))
  const client = await RawClient.open(t, port)
  client.send(get('/'))
  await client.until((text) => text.includes('\r\n\r\n'))
  t.pass('the header section comes before the first event')
  for (const [index, { open }] of go.entries()) {
    open()
    await client.until((text) => text.includes(`data: ${index}\n\n`))
  }
})

test('a client that goes away ends the request at the application', async (t) => {
  const gone = gate()
  const replica = await startReplica(t, (request, response) => {
    response.flushHeaders()
    request.socket.on('close', () => gone.open())
  })
  const { port, publish, context } = await startProxy(t)
  publish(route(HOST, replica))
  const client = await RawClient.open(t, port)
  client.send(get('/'))
  await client.until((text) => text.includes('\r\n\r\n'))
  t.same(context.routes.loads(), [{ id: `replica-${replica}`, requests: 1, upgraded: 0 }])
  client.socket.destroy()
  await gone.opened
  t.same(context.routes.loads(), [])
})

test('a client that goes away in the middle of an upload ends the request at the application', async (t) => {
  const ended = gate<string>()
  const replica = await startReplica(t, (request) => {
    request.resume()
    request.on('error', () => ended.open('aborted'))
    request.on('end', () => ended.open('complete'))
  })
  const { port, publish } = await startProxy(t)
  publish(route(HOST, replica))
  const client = await RawClient.open(t, port)
  client.send(`POST / HTTP/1.1\r\nHost: ${HOST}\r\nContent-Length: 100\r\n\r\nhalf`)
  await eventually(() => client.socket.bytesWritten > 0)
  client.socket.destroy()
  t.equal(await ended.opened, 'aborted')
})

test('an answer that begins while the body is still on its way streams beside it', async (t) => {
  const replica = await startReplica(t, (request, response) => {
    response.flushHeaders()
    request.on('data', (piece: Buffer) => response.write(piece.toString().toUpperCase()))
    request.on('end', () => response.end('END'))
  })
  const { port, publish, context } = await startProxy(t)
  publish(route(HOST, replica))
  const client = await RawClient.open(t, port)
  client.send(`POST / HTTP/1.1\r\nHost: ${HOST}\r\nTransfer-Encoding: chunked\r\n\r\n`)
  await client.until((text) => text.includes('\r\n\r\n'))
  client.send('3\r\none\r\n')
  await client.until((text) => text.includes('ONE'))
  client.send('3\r\ntwo\r\n0\r\n\r\n')
  await client.until((text) => text.includes('TWO') && text.endsWith('0\r\n\r\n'))
  t.same(context.routes.loads(), [])
})

test('an answer that is whole before the body is reaches the client, which may go on', async (t) => {
  let bytes = 0
  const replica = await startRawReplica(t, (socket) => {
    socket.on('data', (piece: Buffer) => {
      bytes += piece.length
      if (piece.includes('POST /early'))
        socket.write('HTTP/1.1 413 Too Much\r\nContent-Length: 4\r\n\r\nstop')
      else if (piece.includes('GET /next')) socket.write('HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnext')
    })
  })
  const { port, publish } = await startProxy(t)
  publish(route(HOST, replica))
  const client = await RawClient.open(t, port)
  client.send(`POST /early HTTP/1.1\r\nHost: ${HOST}\r\nContent-Length: 500000\r\n\r\nfirst`)
  t.equal(bodyOf(await client.response()), 'stop')
  client.send('x'.repeat(500_000 - 5))
  client.send(get('/next'))
  t.equal(bodyOf(await client.rest()), 'next')
  t.ok(bytes < 100_000, 'the rest of the body went nowhere')
})

test('an early answer reaches a client that sends on, also when its connection ends', async (t) => {
  const replica = await startRawReplica(t, (socket) => {
    socket.on('data', (piece: Buffer) => {
      if (!piece.toString('latin1').startsWith('POST')) return
      socket.write('HTTP/1.1 401 Unauthorized\r\nContent-Length: 4\r\n\r\nnope')
    })
  })
  const { port, proxy, publish } = await startProxy(t)
  publish(
    route(HOST, replica),
    { ...route('small.localhost', replica), rules: { max_body_bytes: 1000 } },
    route('none.localhost'),
  )
  const post = (host: string, lines: string) => `POST / HTTP/1.1\r\nHost: ${host}\r\n${lines}\r\n`
  const length = 'Content-Length: 400000\r\n'
  const close = 'Connection: close\r\n'
  const table: [head: string, status: number][] = [
    [post(HOST, length + close), 401],
    [post(HOST, length).replace('HTTP/1.1', 'HTTP/1.0'), 401],
    [post('small.localhost', length + close), 413],
    [post('none.localhost', length + close), 503],
    [post(HOST, `${length}Expect: something\r\n`), 417],
    [post(HOST, `${length}Transfer-Encoding: chunked\r\n`), 400],
    ['nonsense\r\n\r\n', 400],
  ]
  for (const [head, status] of table) {
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
    t.teardown(() => socket.destroy())
    let received = ''
    let fault: Error | undefined
    socket.on('data', (piece: Buffer) => (received += piece.toString('latin1')))
    socket.on('error', (error) => (fault = error))
    socket.write(head + 'x'.repeat(10_000))
    // The whole answer, and the end of the connection's other side.
    await eventually(() => socket.readableEnded)
    for (let sent = 10_000; sent < 400_000; sent += 10_000)
      await new Promise((resolve) => socket.write('x'.repeat(10_000), resolve))
    socket.end()
    await once(socket, 'close')
    t.match(received, new RegExp(`^HTTP/1.1 ${status} `), head)
    t.equal(fault, undefined, head)
  }
  await eventually(() => proxy.openConnections() === 0)
})

test('a client that sends on and on behind an early answer is cut off', async (t) => {
  const replica = await startRawReplica(t, (socket) => {
    socket.once('data', () => socket.write('HTTP/1.1 413 Too Much\r\nContent-Length: 4\r\n\r\nstop'))
  })
  const { port, publish } = await startProxy(t, { limits: { discarded_body_bytes: 100_000 } })
  publish(route(HOST, replica))
  const client = await RawClient.open(t, port)
  client.send(`POST / HTTP/1.1\r\nHost: ${HOST}\r\nContent-Length: 100000000\r\n\r\nfirst`)
  t.equal(statusOf(await client.response()), 413)
  const block = 'x'.repeat(64 * 1024)
  await eventually(() => {
    if (!client.closed) client.send(block)
    return client.closed
  })
  t.pass('closed')
})

test('an error page reaches a client that is still uploading', async (t) => {
  const { port, publish } = await startProxy(t)
  publish(route(HOST, 1))
  const client = await RawClient.open(t, port)
  const body = 'x'.repeat(300_000)
  client.send(
    `POST / HTTP/1.1\r\nHost: other.localhost\r\nContent-Length: ${body.length}\r\n\r\n${body.slice(0, 100_000)}`,
  )
  t.equal(statusOf(await client.response()), 404)
  client.send(body.slice(100_000))
  client.send(get('/', 'other.localhost'))
  t.equal(statusOf(await client.rest()), 404, 'and the connection serves on')
})

test('Expect: 100-continue waits for the application', async (t) => {
  const asked = gate<() => void>()
  const replica = await startRawReplica(t, (socket) => {
    let text = ''
    socket.on('data', (piece: Buffer) => {
      text += piece.toString('latin1')
      if (text.endsWith('\r\n\r\n')) asked.open(() => socket.write('HTTP/1.1 100 Continue\r\n\r\n'))
      if (text.endsWith('body')) socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok')
    })
  })
  const { port, publish } = await startProxy(t, { limits: { continue_ms: 600_000 } })
  publish(route(HOST, replica))
  const client = await RawClient.open(t, port)
  client.send(`POST / HTTP/1.1\r\nHost: ${HOST}\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n`)
  const goOn = await asked.opened
  t.equal(client.text, '')
  goOn()
  await client.until((text) => text === 'HTTP/1.1 100 Continue\r\n\r\n')
  client.text = ''
  client.send('body')
  t.equal(bodyOf(await client.response()), 'ok')
})

test('an application may refuse a body that it was asked about', async (t) => {
  const replica = await startRawReplica(t, (socket) => {
    socket.once('data', () => socket.write('HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno'))
  })
  const { port, publish } = await startProxy(t)
  publish(route(HOST, replica))
  const response = await exchangeRaw(
    t,
    port,
    `POST / HTTP/1.1\r\nHost: ${HOST}\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n`,
  )
  t.equal(statusOf(response), 403)
  t.match(response, /Connection: close\r\n/i, 'the client cannot know whether to send the body now')
})

test('an application that ignores the question gets the body after a while', async (t) => {
  const replica = await startRawReplica(t, (socket) => {
    socket.on('data', (piece: Buffer) => {
      if (piece.toString().endsWith('body')) socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok')
    })
  })
  const { port, publish } = await startProxy(t, { limits: { continue_ms: 50 } })
  publish(route(HOST, replica))
  const client = await RawClient.open(t, port)
  client.send(`POST / HTTP/1.1\r\nHost: ${HOST}\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n`)
  await client.until((text) => text.startsWith('HTTP/1.1 100 Continue\r\n\r\n'))
  client.send('body')
  await client.until((text) => text.endsWith('ok'))
})

test('another expectation is refused', async (t) => {
  const { port, publish } = await startProxy(t)
  publish(route(HOST, 1))
  t.equal(statusOf(await exchangeRaw(t, port, get('/', HOST, 'Expect: the-unexpected\r\n'))), 417)
})

test('chunks and trailers of a request reach the application', async (t) => {
  const replica = await startReplica(t, (request, response) => {
    let body = ''
    request.on('data', (piece: Buffer) => (body += piece.toString()))
    request.on('end', () =>
      response.end(
        `${request.headers['transfer-encoding']} ${body} ${request.headers.trailer} ${request.rawTrailers.join('=')}`,
      ),
    )
  })
  const { port, publish } = await startProxy(t)
  publish(route(HOST, replica))
  const response = await exchangeRaw(
    t,
    port,
    `POST / HTTP/1.1\r\nHost: ${HOST}\r\nConnection: close\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n` +
      '5;a=b\r\nhello\r\n0\r\nX-Sum: 42\r\nHost: x\r\nX-Forwarded-For: 6.6.6.6\r\n\r\n',
  )
  t.equal(bodyOf(response), 'chunked hello X-Sum X-Sum=42')
})

test('chunks of one byte are passed on as few larger ones, both ways', async (t) => {
  const COUNT = 20_000
  const tiny = `${'1\r\nx\r\n'.repeat(COUNT)}0\r\n\r\n`
  const lines = 'Transfer-Encoding: chunked\r\n'
  let got = ''
  const replica = await startRawReplica(t, (socket) => {
    socket.on('data', (piece: Buffer) => {
      got += piece.toString('latin1')
      if (!got.endsWith('0\r\n\r\n')) return
      socket.end(`HTTP/1.1 200 OK\r\n${lines}\r\n${tiny}`)
    })
  })
  const { port, publish } = await startProxy(t)
  publish(route(HOST, replica))
  const answer = await exchangeRaw(
    t,
    port,
    `POST / HTTP/1.1\r\nHost: ${HOST}\r\nConnection: close\r\n${lines}\r\n${tiny}`,
  )
  for (const message of [got, answer]) {
    const body = bodyOf(message)
    const sizes = [...body.matchAll(/^([0-9a-f]+)\r$/gm)].map(([, size]) => Number.parseInt(size ?? '', 16))
    t.equal(body.match(/x/g)?.length, COUNT)
    t.equal(
      sizes.reduce((sum, size) => sum + size, 0),
      COUNT,
    )
    t.ok(sizes.length < 100, `${sizes.length} chunks`)
  }
})

test('a body without bytes keeps its Content-Length: 0', async (t) => {
  const replica = await startReplica(t, (request, response) =>
    response.end(`${request.headers['content-length']}`),
  )
  const { port, publish } = await startProxy(t)
  publish(route(HOST, replica))
  const ask = (line: string) =>
    exchangeRaw(t, port, `POST / HTTP/1.1\r\nHost: ${HOST}\r\nConnection: close\r\n${line}\r\n`)
  t.equal(bodyOf(await ask('Content-Length: 0\r\n')), '0')
  t.equal(bodyOf(await ask('')), 'undefined')
})
