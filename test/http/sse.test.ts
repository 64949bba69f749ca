import { connect } from 'node:net'
import { once } from 'node:events'
import { test } from 'tap'
import { Type } from 'typebox'
import { strictObject } from '../../src/http/schema.ts'
import { type EventStream, type EventStreamOptions, openEventStream } from '../../src/http/sse.ts'
import { createSystem, type System } from '../../src/lib/system.ts'
import { openStream } from '../support/event-stream.ts'
import { openIdentityApi } from '../support/identity-api.ts'

/** A server with a stream that the test feeds. */
async function openFeed(
  t: Parameters<typeof openIdentityApi>[0],
  options: EventStreamOptions = {},
  system: System = createSystem(),
) {
  const streams: EventStream[] = []
  const api = await openIdentityApi(t, {
    system,
    addRoutes: (server) => {
      server.get(
        '/feed',
        {
          config: { access: { signed_in: true } },
          schema: { querystring: strictObject({ since: Type.Optional(Type.String()) }) },
        },
        async (request, reply) => {
          streams.push(openEventStream(request, reply, options))
        },
      )
    },
  })
  const token = await api.bootstrap()
  const origin = await api.listen()
  const opened = async (count: number): Promise<EventStream> => {
    while (streams.length < count) await api.system.sleep(5)
    return streams[count - 1] as EventStream
  }
  return { api, token, origin, opened, port: Number(new URL(origin).port) }
}

/** Sends until the reader's own buffers, those of the kernel and ours are full. */
async function fill(stream: EventStream): Promise<void> {
  for (let refused = 0; refused < 2000;) {
    if (!stream.send({ data: 'x'.repeat(1000) })) refused += 1
    if (refused % 100 === 99) await new Promise(setImmediate)
  }
}

test('events keep their ids, types, lines and their final state', async (t) => {
  const { token, origin, opened } = await openFeed(t)
  const client = await openStream(t, `${origin}/feed`, token)
  const stream = await opened(1)
  t.equal(stream.send({ id: '1', data: { line: 'a\nb' } }), true)
  stream.send({ id: '2', event: 'state', data: 'two\nlines' })
  stream.comment('here\nI am')
  stream.end({ status: 'Healthy' })
  t.same(await client.next(), { id: '1', data: '{"line":"a\\nb"}' })
  t.same(await client.next(), { id: '2', event: 'state', data: 'two\nlines' })
  t.same(await client.next(), { event: 'done', data: '{"status":"Healthy"}' })
  t.equal(await client.ended(), true)
  t.equal(stream.signal.aborted, true)
  t.equal(stream.send({ data: 'too late' }), false)
})

test('a client says where it wants to go on', async (t) => {
  const { token, origin, opened } = await openFeed(t)
  await openStream(t, `${origin}/feed?since=7`, token)
  t.equal((await opened(1)).resumeFrom, '7')
  await openStream(t, `${origin}/feed?since=7`, token, { 'last-event-id': '9' })
  t.equal((await opened(2)).resumeFrom, '9')
  await openStream(t, `${origin}/feed`, token)
  t.equal((await opened(3)).resumeFrom, undefined)
})

test('a client that leaves ends the stream', async (t) => {
  const { api, token, origin, opened } = await openFeed(t)
  const client = await openStream(t, `${origin}/feed`, token)
  const stream = await opened(1)
  client.leave()
  if (!stream.signal.aborted) await once(stream.signal, 'abort')
  await stream.ready()
  t.equal(api.server.liveStreams.size, 0)
  t.equal(api.server.accessWatch.size(), 0)
})

test('a slow reader loses events instead of growing the daemon, and is told how many', async (t) => {
  const { token, opened, port } = await openFeed(t, { maxBufferedBytes: 256 * 1024 })
  const socket = connect(port, '127.0.0.1')
  socket.pause()
  socket.write(`GET /feed HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer ${token}\r\n\r\n`)
  const stream = await opened(1)
  const before = process.memoryUsage().rss
  const line = 'x'.repeat(1000)
  // Socket buffers of the kernel take some megabytes first.
  const total = 100_000
  for (let n = 0; n < total; n += 1) {
    stream.send({ id: String(n), data: line })
    if (n % 1000 === 0) await new Promise(setImmediate)
  }
  t.ok(process.memoryUsage().rss - before < 64 * 1024 * 1024, 'a hundred megabytes were not kept')
  stream.end('over')
  let received = ''
  socket.setEncoding('utf8').on('data', (text: string) => {
    received += text
  })
  socket.resume()
  await once(socket, 'close')
  const ids = [...received.matchAll(/^id: (\d+)$/gm)].map((match) => Number(match[1]))
  const lost = [...received.matchAll(/event: lost\r?\ndata: \{"lost":(\d+)\}/g)].map((match) =>
    Number(match[1]),
  )
  t.ok(lost.length >= 1)
  t.equal(ids.length + lost.reduce((sum, each) => sum + each, 0), total)
  t.match(received, /event: done\ndata: over/)
})

test('a source that waits for its reader loses nothing', async (t) => {
  const { token, opened, port } = await openFeed(t, { maxBufferedBytes: 256 * 1024 })
  const socket = connect(port, '127.0.0.1')
  socket.pause()
  socket.write(`GET /feed HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer ${token}\r\n\r\n`)
  const stream = await opened(1)
  const line = 'x'.repeat(1000)
  const total = 20_000
  let waits = 0
  const feed = async (): Promise<void> => {
    for (let n = 0; n < total; n += 1) {
      if (stream.send({ id: String(n), data: line })) continue
      waits += 1
      await stream.ready()
    }
    stream.end('over')
  }
  const feeding = feed()
  let received = ''
  socket.setEncoding('utf8').on('data', (text: string) => {
    received += text
  })
  socket.resume()
  await Promise.all([feeding, once(socket, 'close')])
  t.equal([...received.matchAll(/^id: \d+$/gm)].length, total)
  t.ok(waits > 0)
})

test('a HEAD request of a stream does not stay open', async (t) => {
  const { api, token, origin } = await openFeed(t)
  const response = await fetch(`${origin}/feed`, {
    method: 'HEAD',
    headers: { authorization: `Bearer ${token}` },
  })
  t.equal(response.status, 200)
  t.match(response.headers.get('content-type'), /event-stream/)
  t.equal(api.server.liveStreams.size, 0)
})

test('a server stops although a stalled reader holds a stream open', async (t) => {
  const { api, token, opened, port } = await openFeed(t)
  const socket = connect(port, '127.0.0.1')
  t.teardown(() => socket.destroy())
  socket.pause()
  socket.write(`GET /feed HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer ${token}\r\n\r\n`)
  const stream = await opened(1)
  await fill(stream)
  await api.server.close()
  t.equal(stream.signal.aborted, true)
})

test('a quiet stream says now and then that it is still there', async (t) => {
  const real = createSystem()
  // A hundred times as fast.
  const system = { ...real, later: (ms: number, run: () => void) => real.later(ms / 100, run) }
  const { token, origin, opened } = await openFeed(t, {}, system)
  const client = await openStream(t, `${origin}/feed`, token)
  const stream = await opened(1)
  await real.sleep(400)
  stream.end('over')
  t.equal((await client.next()).event, 'done')
  t.ok(client.comments() >= 1)
})

test('a reader that takes nothing for a minute is cut off', async (t) => {
  const real = createSystem()
  // Timers and the clock run much faster.
  const system = {
    ...real,
    monotonic: () => real.monotonic() * 300,
    later: (ms: number, run: () => void) => real.later(ms / 100, run),
  }
  const { token, opened, port } = await openFeed(t, {}, system)
  const socket = connect(port, '127.0.0.1')
  t.teardown(() => socket.destroy())
  socket.pause()
  socket.write(`GET /feed HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${token}\r\n\r\n`)
  const stream = await opened(1)
  await fill(stream)
  if (!stream.signal.aborted) await once(stream.signal, 'abort')
  t.match(stream.signal.reason, { message: 'the client left' })
})

test('nobody holds all the streams', async (t) => {
  const { api, token, origin } = await openFeed(t)
  const leave = new AbortController()
  t.teardown(() => leave.abort())
  const open = () =>
    fetch(`${origin}/feed`, { headers: { authorization: `Bearer ${token}` }, signal: leave.signal })
  const responses = await Promise.all(Array.from({ length: 201 }, open))
  t.same(
    responses.map((response) => response.status).filter((status) => status !== 200),
    [429],
  )
  const alice = await api.addUser(token, 'alice')
  const other = await fetch(`${origin}/feed`, {
    headers: { authorization: `Bearer ${alice.session}` },
    signal: leave.signal,
  })
  t.equal(other.status, 200)
})
