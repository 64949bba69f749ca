import { Agent, request as httpRequest } from 'node:http'
import { test } from 'tap'
import type { RunningProxy } from './proxy-fixture.ts'
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
} from './proxy-fixture.ts'

/** Sends requests one after the other on keep-alive connections until told to stop; gives what was answered. */
function keepAsking({ port }: RunningProxy, clients: number): { stop: () => Promise<Map<string, number>> } {
  const agent = new Agent({ keepAlive: true, maxSockets: clients })
  const answers = new Map<string, number>()
  const stop = new AbortController()
  const ask = async (index: number): Promise<string> =>
    await new Promise((resolve) => {
      const method = index % 3 === 0 ? 'POST' : 'GET'
      const request = httpRequest({ port, agent, method, headers: { host: HOST } }, (response) => {
        let body = ''
        response.on('data', (piece: Buffer) => (body += piece.toString()))
        response.on('end', () => resolve(`${response.statusCode} ${body}`))
        response.on('error', (error) => resolve(error.message))
      })
      request.on('error', (error) => resolve(error.message))
      request.end(method === 'POST' ? 'body' : undefined)
    })
  const run = async (index: number): Promise<void> => {
    for (let count = index; !stop.signal.aborted; count += 1) {
      const answer = await ask(count)
      answers.set(answer, (answers.get(answer) ?? 0) + 1)
    }
  }
  const running = Array.from({ length: clients }, (_each, index) => run(index))
  return {
    stop: async () => {
      stop.abort()
      await Promise.all(running)
      agent.destroy()
      return answers
    },
  }
}

test('replacing replicas under load fails no request, and the old ones may stop as soon as nothing runs through them', async (t) => {
  const running = await startProxy(t)
  const { publish, context } = running
  const generation = async (name: string) => {
    let stopped = false
    const port = await startReplica(t, (request, response) => {
      if (stopped) {
        // As if the container were gone: any request from here on is a failure.
        request.socket.destroy()
        return
      }
      request.resume()
      request.on('end', () => setImmediate(() => response.end(name)))
    })
    return { port, stop: () => (stopped = true) }
  }
  let old = [await generation('0a'), await generation('0b')]
  publish(route(HOST, ...old.map(({ port }) => port)))
  const load = keepAsking(running, 8)
  for (let round = 1; round <= 10; round += 1) {
    const fresh = [await generation(`${round}a`), await generation(`${round}b`)]
    publish(route(HOST, ...fresh.map(({ port }) => port)))
    const leaving = new Set(old.map(({ port }) => `replica-${port}`))
    await eventually(() => !context.routes.loads().some(({ id }) => leaving.has(id)))
    for (const { stop } of old) stop()
    old = fresh
    const served = context.counters.requests
    await eventually(() => context.counters.requests > served + 50)
  }
  const answers = await load.stop()
  const failed = [...answers].filter(([answer]) => !/^200 \d+[ab]$/.test(answer))
  t.same(failed, [])
  t.ok([...answers.keys()].length > 10, 'several generations have answered')
})

test('a replica that leaves the table finishes what it has and gets nothing new', async (t) => {
  const release = gate()
  const old = await startReplica(t, (request, response) => {
    if (request.url === '/slow') void release.opened.then(() => response.end('old and slow'))
    else response.end('old')
  })
  const fresh = await startReplica(t, (_request, response) => response.end('fresh'))
  const { port, publish, context } = await startProxy(t)
  publish(route(HOST, old))
  t.equal(bodyOf(await exchangeRaw(t, port, get('/'))), 'old')
  const slow = await RawClient.open(t, port)
  slow.send(get('/slow'))
  await eventually(() => context.routes.loads().length === 1)
  publish(route(HOST, fresh))
  t.equal(bodyOf(await exchangeRaw(t, port, get('/'))), 'fresh')
  t.same(context.routes.loads(), [{ id: `replica-${old}`, requests: 1, upgraded: 0 }])
  release.open()
  t.equal(bodyOf(await slow.rest()), 'old and slow')
  t.same(context.routes.loads(), [])
  await eventually(() => [...context.routes.states()].length === 1)
  t.pass('it is forgotten then')
})

test('idle connections to a replica that leaves are closed at once', async (t) => {
  const closed = gate()
  const old = await startRawReplica(t, (socket) => {
    socket.on('data', () => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'))
    socket.on('close', () => closed.open())
  })
  const { port, publish } = await startProxy(t)
  publish(route(HOST, old))
  await exchangeRaw(t, port, get('/'))
  publish(route(HOST))
  await closed.opened
  t.pass('closed')
})

test('an upgraded connection of a replica that leaves is counted apart and lives on', async (t) => {
  const old = await startRawReplica(t, (socket) => {
    socket.once('data', () => {
      socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n')
      socket.on('data', (piece: Buffer) => socket.write(piece))
    })
  })
  const { port, publish, context } = await startProxy(t)
  publish(route(HOST, old))
  const client = await RawClient.open(t, port)
  client.send(`GET / HTTP/1.1\r\nHost: ${HOST}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n`)
  await client.until((text) => text.endsWith('\r\n\r\n'))
  publish(route(HOST))
  t.same(context.routes.loads(), [{ id: `replica-${old}`, requests: 0, upgraded: 1 }])
  client.send('still here')
  await client.until((text) => text.endsWith('still here'))
})

test('an older table is ignored, and a container that came back with another address is another replica', async (t) => {
  const { publish, context } = await startProxy(t)
  publish(route(HOST, 1001))
  t.notOk(context.routes.replace({ version: 1, routes: [] }))
  t.notOk(context.routes.replace({ version: 0, routes: [] }))
  t.ok(context.routes.find(HOST))
  const before = context.routes.find(HOST)?.upstreams[0]
  publish(route(HOST, 1001), route('b.localhost', 1001))
  t.equal(context.routes.find(HOST)?.upstreams[0], before, 'the same replica keeps its state')
  t.equal(context.routes.find('b.localhost')?.upstreams[0], before, 'also for two host names')
  const moved = { id: 'replica-1001', address: '127.0.0.2', port: 1001, deployment_id: 'deployment' }
  publish({ ...route(HOST), upstreams: [moved] })
  t.not(context.routes.find(HOST)?.upstreams[0], before)
})

test('draining answers what runs, tells clients to close, and takes no new connections', async (t) => {
  const release = gate()
  const replica = await startReplica(t, (request, response) => {
    if (request.url === '/slow') void release.opened.then(() => response.end('slow'))
    else response.end('quick')
  })
  const { port, publish, context, proxy } = await startProxy(t)
  publish(route(HOST, replica))
  const keepAlive = `GET / HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`
  const slow = await RawClient.open(t, port)
  slow.send(keepAlive.replace('GET / ', 'GET /slow '))
  const idle = await RawClient.open(t, port)
  idle.send(keepAlive)
  await idle.response()
  await eventually(() => context.routes.loads().length === 1)
  proxy.beginDrain()
  await t.rejects(RawClient.open(t, port), { code: 'ECONNREFUSED' })
  idle.send(keepAlive + keepAlive)
  const last = await idle.rest()
  t.match(last, /Connection: close\r\n/i)
  t.equal(last.match(/quick/g)?.length, 1, 'nothing is served behind an answer that says close')
  release.open()
  t.match(await slow.rest(), /Connection: close\r\n.*slow$/is)
  t.equal(proxy.openConnections(), 0)
})
