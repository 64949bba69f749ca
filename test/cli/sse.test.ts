import { test } from 'tap'
import { createClient } from '../../src/cli/client.ts'
import { followEvents } from '../../src/cli/event-follow.ts'
import { EventReader, type ServerEvent } from '../../src/cli/sse.ts'
import { createSystem, type System } from '../../src/lib/system.ts'
import { ALICE, type ApiServer, refuse, sendEvents, startApiServer } from '../support/api-server.ts'

const STREAM = Buffer.from(
  '\uFEFFid: 1\ndata: one\n\n: comment\n\nid: 2\r\ndata: two\r\ndata: lines ü\r\n\r\nevent: done\rdata:{"status":"Healthy"}\r\rid: 3\nevent: x\n\ndata\n\nid: 9\ndata: cut off',
)

const EVENTS = [
  { id: '1', type: 'message', data: 'one' },
  { id: '2', type: 'message', data: 'two\nlines ü' },
  { id: '2', type: 'done', data: '{"status":"Healthy"}' },
  { id: '3', type: 'message', data: '' },
]

test('events are read the same wherever the stream is cut', async (t) => {
  for (let size = 1; size <= STREAM.length; size += 1) {
    const reader = new EventReader()
    const events: ServerEvent[] = []
    for (let at = 0; at < STREAM.length; at += size)
      events.push(...reader.push(STREAM.subarray(at, at + size)))
    t.same(events, EVENTS, `pieces of ${size}`)
    t.equal(reader.lastEventId, '3', 'what was cut off was not seen')
  }
})

test('a line or an event without end is refused', async (t) => {
  const reader = new EventReader()
  const piece = Buffer.alloc(1024 ** 2, 0x61)
  t.throws(() => {
    for (let count = 0; count < 6; count += 1) for (const event of reader.push(piece)) void event
  }, /too long/)
  const lines = Buffer.from(`data: ${'b'.repeat(1000)}\n`.repeat(1000))
  const other = new EventReader()
  t.throws(() => {
    for (let count = 0; count < 6; count += 1) for (const event of other.push(lines)) void event
  }, /too long/)
})

/** A system whose pauses are over at once. */
function impatient(): System & { pauses: number[] } {
  const pauses: number[] = []
  return { ...createSystem(), pauses, sleep: async (ms) => void pauses.push(ms) }
}

async function follow(api: ApiServer, system: System, said: string[] = []): Promise<string[]> {
  const { signal } = new AbortController()
  const client = createClient({ origin: api.url, token: ALICE, system, version: '0', signal })
  const seen: string[] = []
  const events = followEvents({
    client,
    path: '/v1/x/stream',
    query: { tail: 5 },
    surroundings: { system, signal },
    onCut: (reason) => said.push(reason),
    onBack: () => said.push('back'),
  })
  for await (const { type, data } of events) seen.push(type === 'message' ? data : type)
  return seen
}

test('a stream that is cut goes on behind the last event that was seen', async (t) => {
  const api = await startApiServer(t)
  const system = impatient()
  let connections = 0
  api.on('GET /v1/x/stream', ({ headers, query }, response) => {
    connections += 1
    if (connections === 1) {
      t.equal(query.get('tail'), '5')
      sendEvents(response, [
        { id: 1, data: 'one' },
        { id: 2, data: 'two' },
      ])
      response.write('id: 3\ndata: "thr')
      setImmediate(() => response.destroy())
    } else if (connections < 5) {
      t.equal(headers['last-event-id'], '2')
      t.equal(query.get('tail'), null)
      if (connections === 2) response.destroy()
      else if (connections === 3) refuse(response, 503, 'STARTING', 'Berth is starting.')
      else response.writeHead(200, { 'content-type': 'text/event-stream' }).end()
    } else {
      sendEvents(response, [
        { id: 3, data: 'three' },
        { event: 'done', data: {} },
      ])
      response.end()
    }
  })
  const said: string[] = []
  t.same(await follow(api, system, said), ['"one"', '"two"', '"three"', 'done'])
  t.match(said, [/connection was cut/, 'back'])
  t.same(system.pauses, [250, 500, 1000, 2000])
})

test('following gives up when the server stays away', async (t) => {
  const api = await startApiServer(t)
  const system = impatient()
  api.on('GET /v1/x/stream', (_, response) => response.destroy())
  await t.rejects(follow(api, system), { exit: 7, message: /cannot reach .*: the connection was cut/ })
  t.equal(system.pauses.length, 20)
  t.ok(system.pauses.every((ms) => ms <= 5000))
})

test('a refusal ends following at once', async (t) => {
  const api = await startApiServer(t)
  const system = impatient()
  api.on('GET /v1/x/stream', (_, response) =>
    refuse(response, 403, 'FORBIDDEN', 'No.', { permission: 'logs.read' }),
  )
  await t.rejects(follow(api, system), { exit: 3, message: 'No.' })
  api.on('GET /v1/x/stream', (_, response) => {
    sendEvents(response, [
      { event: 'denied', data: { error: 'UNAUTHENTICATED', message: 'Your access was revoked.' } },
    ])
    response.end()
  })
  await t.rejects(follow(api, system), { exit: 3, message: 'Your access was revoked.' })
  t.same(system.pauses, [])
})

test('a connection that went silent is made anew', async (t) => {
  const api = await startApiServer(t)
  const timers: (() => void)[] = []
  const system: System = {
    ...impatient(),
    later: (ms, run) => {
      t.equal(ms, 60_000)
      timers.push(run)
      return () => {}
    },
  }
  let connections = 0
  api.on('GET /v1/x/stream', (_, response) => {
    connections += 1
    sendEvents(
      response,
      connections === 1
        ? [{ id: 1, data: 1 }]
        : [
            { id: 2, data: 2 },
            { event: 'done', data: {} },
          ],
    )
    if (connections > 1) response.end()
    else response.once('close', () => t.pass('the silent connection was closed'))
  })
  const following = follow(api, system)
  // The timer that was set once the first event had come.
  while (timers.length < 2) await new Promise((resolve) => void setImmediate(resolve))
  timers[1]?.()
  t.same(await following, ['1', '2', 'done'])
})
