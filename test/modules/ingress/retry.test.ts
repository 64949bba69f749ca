import { type Test, test } from 'tap'
import {
  bodyOf,
  closedPort,
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

const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'

function post(body: string): string {
  return `POST / HTTP/1.1\r\nHost: ${HOST}\r\nConnection: close\r\nContent-Length: ${body.length}\r\n\r\n${body}`
}

test('a replica that refuses connections is passed over by every kind of request, and left alone for a while', async (t) => {
  const bodies: string[] = []
  const replica = await startReplica(t, (request, response) => {
    let body = ''
    request.on('data', (piece: Buffer) => (body += piece.toString()))
    request.on('end', () => {
      bodies.push(body)
      response.end('ok')
    })
  })
  const { port, publish, context } = await startProxy(t, { limits: { ejection_ms: 600_000 } })
  publish(route(HOST, await closedPort(), replica, await closedPort()))
  for (let count = 0; count < 6; count += 1) {
    t.equal(statusOf(await exchangeRaw(t, port, count % 2 === 0 ? get('/') : post('abc'))), 200)
  }
  t.same(bodies, ['', 'abc', '', 'abc', '', 'abc'])
  t.equal(context.counters.retries, 2, 'each of the two was tried once')
})

test('an ejected replica is used when there is no other, and again after it has answered', async (t) => {
  const dead = await closedPort()
  const { port, publish, context } = await startProxy(t, { limits: { ejection_ms: 600_000 } })
  publish(route(HOST, dead, await closedPort()))
  t.equal(statusOf(await exchangeRaw(t, port, get('/'))), 502)
  t.equal(statusOf(await exchangeRaw(t, port, get('/'))), 502)
  for (const upstream of context.routes.states()) t.ok(upstream.isEjected(context.clock.now))
})

test('a GET on a connection that the application closed meanwhile is sent again on a new one', async (t) => {
  let connections = 0
  const replica = await startRawReplica(t, (socket) => {
    connections += 1
    const first = connections === 1
    let requests = 0
    socket.on('data', () => {
      requests += 1
      if (first && requests === 2) socket.resetAndDestroy()
      else socket.write(OK)
    })
  })
  const { port, publish, context } = await startProxy(t)
  publish(route(HOST, replica))
  t.equal(bodyOf(await exchangeRaw(t, port, get('/'))), 'ok')
  t.equal(bodyOf(await exchangeRaw(t, port, get('/'))), 'ok')
  t.equal(connections, 2)
  t.equal(context.counters.retries, 1)
})

type Fate =
  /** It answers. */
  | 'ok'
  /** It ends the connection without a byte of an answer. */
  | 'silent'
  /** It resets the connection when the request has come. */
  | 'reset'
  /** It begins an answer and ends the connection. */
  | 'partial'
  /** It takes no connection. */
  | 'refuses'

interface Case {
  title: string
  request: string
  /** There is a connection to each replica that takes them, kept from an earlier request. */
  kept: boolean
  /** What becomes of each request in turn; the last one of all that follow. Of `kept` it is the first one after the earlier one. */
  fates: Fate[]
  /** The same of the second replica, where there is one. */
  other?: Fate[]
  status: number
  /** How often the request is seen, by each replica. */
  seen: number[]
}

const GET = get('/')
const POST = post('x')
const withoutBody = (method: string): string => GET.replace('GET', method)

/** The replica of `fates` is asked first. */
const REPETITIONS: Case[] = [
  // A replica that takes no connection has been sent nothing: every request goes on.
  {
    title: 'a GET, refused',
    request: GET,
    kept: false,
    fates: ['refuses'],
    other: ['ok'],
    status: 200,
    seen: [0, 1],
  },
  {
    title: 'a POST, refused',
    request: POST,
    kept: false,
    fates: ['refuses'],
    other: ['ok'],
    status: 200,
    seen: [0, 1],
  },
  {
    title: 'a GET, refused by all',
    request: GET,
    kept: false,
    fates: ['refuses'],
    other: ['refuses'],
    status: 502,
    seen: [0, 0],
  },
  // New connections: the replica has failed, and another one is asked, once.
  {
    title: 'a GET, new',
    request: GET,
    kept: false,
    fates: ['reset'],
    other: ['ok'],
    status: 200,
    seen: [1, 1],
  },
  {
    title: 'a GET, new, ended',
    request: GET,
    kept: false,
    fates: ['silent'],
    other: ['ok'],
    status: 200,
    seen: [1, 1],
  },
  {
    title: 'a GET that kills',
    request: GET,
    kept: false,
    fates: ['reset'],
    other: ['reset'],
    status: 502,
    seen: [1, 1],
  },
  {
    title: 'a GET, new, one replica',
    request: GET,
    kept: false,
    fates: ['reset', 'ok'],
    status: 502,
    seen: [1],
  },
  {
    title: 'a GET, new, then refused',
    request: GET,
    kept: false,
    fates: ['reset'],
    other: ['refuses'],
    status: 502,
    seen: [1, 0],
  },
  {
    title: 'a GET, answered in part',
    request: GET,
    kept: false,
    fates: ['partial'],
    other: ['ok'],
    status: 502,
    seen: [1, 0],
  },
  // Kept connections: nothing is said of the replica, and a new connection is tried, once.
  { title: 'a GET, kept', request: GET, kept: true, fates: ['reset', 'ok'], status: 200, seen: [2] },
  { title: 'a GET, kept, ended', request: GET, kept: true, fates: ['silent', 'ok'], status: 200, seen: [2] },
  {
    title: 'a GET, kept, answered in part',
    request: GET,
    kept: true,
    fates: ['partial', 'ok'],
    status: 502,
    seen: [1],
  },
  {
    title: 'a GET, kept, then new, one replica',
    request: GET,
    kept: true,
    fates: ['reset'],
    status: 502,
    seen: [2],
  },
  {
    title: 'a GET that kills, kept',
    request: GET,
    kept: true,
    fates: ['reset'],
    other: ['reset'],
    status: 502,
    seen: [2, 1],
  },
  {
    title: 'a GET, kept, then new, then another',
    request: GET,
    kept: true,
    fates: ['reset'],
    other: ['ok'],
    status: 200,
    seen: [1, 1],
  },
  // What may be sent twice, and what may not.
  {
    title: 'a HEAD',
    request: withoutBody('HEAD'),
    kept: false,
    fates: ['reset'],
    other: ['ok'],
    status: 200,
    seen: [1, 1],
  },
  {
    title: 'a DELETE',
    request: withoutBody('DELETE'),
    kept: false,
    fates: ['reset'],
    other: ['ok'],
    status: 200,
    seen: [1, 1],
  },
  {
    title: 'a PUT without a body',
    request: withoutBody('PUT'),
    kept: false,
    fates: ['reset'],
    other: ['ok'],
    status: 200,
    seen: [1, 1],
  },
  {
    title: 'a PUT with a body',
    request: POST.replace('POST', 'PUT'),
    kept: false,
    fates: ['reset'],
    other: ['ok'],
    status: 502,
    seen: [1, 0],
  },
  {
    title: 'a GET with a body',
    request: POST.replace('POST', 'GET'),
    kept: false,
    fates: ['reset'],
    other: ['ok'],
    status: 502,
    seen: [1, 0],
  },
  { title: 'a POST', request: POST, kept: false, fates: ['reset'], other: ['ok'], status: 502, seen: [1, 0] },
  {
    title: 'a POST without a body',
    request: withoutBody('POST'),
    kept: false,
    fates: ['reset'],
    other: ['ok'],
    status: 502,
    seen: [1, 0],
  },
  {
    title: 'a POST, kept',
    request: POST,
    kept: true,
    fates: ['reset'],
    other: ['ok'],
    status: 502,
    seen: [1, 0],
  },
  {
    title: 'a PATCH',
    request: POST.replace('POST', 'PATCH'),
    kept: false,
    fates: ['reset'],
    other: ['ok'],
    status: 502,
    seen: [1, 0],
  },
]

/** A replica with a fate for each request, after `earlier` requests that are answered; `seen` counts the others. */
async function startFated(t: Test, fates: readonly Fate[], earlier: number) {
  const counts = { all: 0 }
  if (fates[0] === 'refuses') return { port: await closedPort(), seen: () => 0 }
  const port = await startRawReplica(t, (socket) => {
    socket.on('data', (piece: Buffer) => {
      if (!/^[A-Z]+ \/ HTTP/.test(piece.toString('latin1'))) return
      counts.all += 1
      const fate = counts.all <= earlier ? 'ok' : (fates[counts.all - earlier - 1] ?? fates.at(-1))
      if (fate === 'ok') socket.write(OK)
      else if (fate === 'reset') socket.resetAndDestroy()
      else socket.end(fate === 'partial' ? 'HTTP/1.1 200 OK\r\nConte' : '')
    })
  })
  return { port, seen: () => counts.all - earlier }
}

for (const { title, request, kept, fates, other, status, seen } of REPETITIONS) {
  test(`how often a request is sent: ${title}`, async (t) => {
    const replicas = [await startFated(t, fates, kept ? 1 : 0)]
    if (other) replicas.push(await startFated(t, other, 0))
    const { port, publish } = await startProxy(t)
    const [first] = replicas
    publish(route(HOST, first?.port ?? 0))
    if (kept) t.equal(statusOf(await exchangeRaw(t, port, GET)), 200)
    // Of several that have as little to do the last one is asked first.
    publish(route(HOST, ...replicas.map((each) => each.port).toReversed()))
    t.equal(statusOf(await exchangeRaw(t, port, request)), status)
    t.same(
      replicas.map((each) => each.seen()),
      seen,
    )
  })
}

test('a POST never reaches an application twice', async (t) => {
  let posts = 0
  const replica = () =>
    startRawReplica(t, (socket) => {
      socket.on('data', (piece: Buffer) => {
        if (piece.includes('POST')) {
          posts += 1
          socket.resetAndDestroy()
        } else socket.write(OK)
      })
    })
  const { port, publish } = await startProxy(t)
  publish(route(HOST, await replica(), await replica()))
  t.equal(bodyOf(await exchangeRaw(t, port, get('/'))), 'ok')
  t.equal(statusOf(await exchangeRaw(t, port, post('x'))), 502)
  t.equal(statusOf(await exchangeRaw(t, port, post('x'))), 502)
  t.equal(posts, 2)
})

test('a POST does not take a connection that has been idle for a while', async (t) => {
  let connections = 0
  const replica = await startRawReplica(t, (socket) => {
    connections += 1
    socket.on('data', () => socket.write(OK))
  })
  const { port, publish, context } = await startProxy(t)
  publish(route(HOST, replica))
  await exchangeRaw(t, port, get('/'))
  await exchangeRaw(t, port, post('x'))
  t.equal(connections, 1, 'a moment later it does')
  context.clock.now += 1500
  await exchangeRaw(t, port, post('x'))
  t.equal(connections, 2)
  await exchangeRaw(t, port, get('/'))
  t.equal(connections, 2, 'a GET may, because it can be sent again')
})

test('a GET whose replica dies on it goes once to another one', async (t) => {
  let deaths = 0
  const dying = () =>
    startRawReplica(t, (socket) => {
      socket.on('data', () => {
        deaths += 1
        socket.resetAndDestroy()
      })
    })
  const healthy = await startReplica(t, (_request, response) => response.end('ok'))
  const { port, publish } = await startProxy(t)
  const sick = await dying()
  publish(route(HOST, sick, healthy))
  for (let count = 0; count < 4; count += 1) t.equal(bodyOf(await exchangeRaw(t, port, get('/'))), 'ok')
  t.ok(deaths > 0, 'the sick one had its turns')
  publish(route(HOST, sick, await dying(), await dying()))
  deaths = 0
  t.equal(statusOf(await exchangeRaw(t, port, get('/'))), 502)
  t.equal(deaths, 2, 'a deadly request kills two replicas, not all')
})

test('a request is not sent again once a part of an answer has come', async (t) => {
  let requests = 0
  const replica = () =>
    startRawReplica(t, (socket) => {
      socket.on('data', () => {
        requests += 1
        socket.end('HTTP/1.1 200 OK\r\nConte')
      })
    })
  const { port, publish } = await startProxy(t)
  publish(route(HOST, await replica(), await replica()))
  t.equal(statusOf(await exchangeRaw(t, port, get('/'))), 502)
  t.equal(requests, 1)
})

test('an attempt after a change of the table goes by the new table', async (t) => {
  const arrived = gate<() => void>()
  const dying = await startRawReplica(t, (socket) => {
    socket.on('data', () => arrived.open(() => socket.resetAndDestroy()))
  })
  const fresh = await startReplica(t, (_request, response) => response.end('fresh'))
  const { port, publish } = await startProxy(t)
  publish(route(HOST, dying))
  const answer = exchangeRaw(t, port, get('/'))
  const die = await arrived.opened
  publish(route(HOST, fresh))
  die()
  t.equal(bodyOf(await answer), 'fresh')
})

test('an application that does not answer in time gives 504', async (t) => {
  const closed = gate()
  const replica = await startRawReplica(t, (socket) => {
    socket.resume()
    socket.on('close', () => closed.open())
  })
  const { port, publish } = await startProxy(t, { limits: { response_head_ms: 100 } })
  publish(route(HOST, replica))
  t.equal(statusOf(await exchangeRaw(t, port, get('/'))), 504)
  await closed.opened
  t.pass('its connection is closed')
})

test('a replica that cannot be reached at all gives 504', async (t) => {
  const { port, publish } = await startProxy(t, { limits: { upstream_connect_ms: 100 } })
  // TEST-NET-1 (RFC 5737): nobody answers there; a network that knows so may say it at once.
  const unreachable = { id: 'gone', address: '192.0.2.1', port: 80, deployment_id: 'deployment' }
  publish({ hostname: HOST, label: 'demo/app', service_id: 'service', upstreams: [unreachable] })
  t.match(String(statusOf(await exchangeRaw(t, port, get('/')))), /^50[24]$/)
})

test('an answer that stops in the middle is cut off', async (t) => {
  const replica = await startRawReplica(t, (socket) => {
    socket.once('data', () => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf'))
  })
  const { port, publish, context } = await startProxy(t, { limits: { response_body_idle_ms: 100 } })
  publish(route(HOST, replica))
  t.equal(bodyOf(await exchangeRaw(t, port, get('/'))), 'half')
  t.equal(context.counters.truncated, 1)
})

test('idle connections are closed before the application would close them', async (t) => {
  const hint = async (keepAlive: string) => {
    const replica = await startRawReplica(t, (socket) => {
      socket.on('data', () => socket.write(`HTTP/1.1 200 OK\r\n${keepAlive}Content-Length: 2\r\n\r\nok`))
    })
    const { port, publish, context } = await startProxy(t)
    publish(route(HOST, replica))
    await exchangeRaw(t, port, get('/'))
    const [upstream] = context.routes.states()
    return { context, open: () => upstream?.connections.size ?? -1 }
  }
  const plain = await hint('')
  t.equal(plain.open(), 1)
  plain.context.clock.now += 4000
  await eventually(() => plain.open() === 0)
  const hinted = await hint('Keep-Alive: timeout=2, max=9\r\n')
  hinted.context.clock.now += 1000
  await eventually(() => hinted.open() === 0)
  const short = await hint('Keep-Alive: timeout=1\r\n')
  t.equal(short.open(), 0, 'one that would be closed within a second is not kept')
})

test('keep-alive connections to a replica are used again', async (t) => {
  let connections = 0
  const replica = await startRawReplica(t, (socket) => {
    connections += 1
    socket.on('data', () => socket.write(OK))
  })
  const { port, publish } = await startProxy(t)
  publish(route(HOST, replica))
  const client = await RawClient.open(t, port)
  for (let count = 0; count < 20; count += 1) {
    client.send(`GET / HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`)
    t.equal(bodyOf(await client.response()), 'ok')
  }
  t.equal(connections, 1)
})
