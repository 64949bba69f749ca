import { once } from 'node:events'
import { test } from 'tap'
import {
  bodyOf,
  closedPort,
  eventually,
  exchangeRaw,
  get,
  HOST,
  RawClient,
  route,
  startProxy,
  startReplica,
  statusOf,
} from './proxy-fixture.ts'
import { Holds } from '../../../src/ingress/exchange/hold.ts'
import { DEFAULT_LIMITS } from '../../../src/ingress/contract/limits.ts'
import { RouteIndex } from '../../../src/ingress/routing/route-index.ts'
import { startIngress, makeDataDir, pidsOf, portOf } from './ingress-fixture.ts'

const sleeping = (holdMs: number, ...ports: number[]) => ({ ...route(HOST, ...ports), hold_ms: holdMs })

test('a request to a service without a replica waits for one and is then answered, body and all', async (t) => {
  let received = ''
  const replica = await startReplica(t, (request, response) => {
    request.on('data', (piece: Buffer) => (received += piece.toString()))
    request.on('end', () => response.end('awake'))
  })
  const { port, publish, context } = await startProxy(t)
  publish(sleeping(60_000))
  const posted = exchangeRaw(
    t,
    port,
    `POST / HTTP/1.1\r\nHost: ${HOST}\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello`,
  )
  const got = exchangeRaw(t, port, get('/'))
  await eventually(() => context.holds.counts()[0]?.requests === 2)
  publish(sleeping(60_000))
  t.equal(context.holds.counts()[0]?.requests, 2, 'a newer table without a replica changes nothing')
  publish(sleeping(60_000, replica))
  t.equal(bodyOf(await posted), 'awake')
  t.equal(bodyOf(await got), 'awake')
  t.equal(received, 'hello')
  t.same(context.holds.counts(), [])
})

test('who waits in vain gets 503 with Retry-After; without hold_ms nobody waits', async (t) => {
  const { port, publish } = await startProxy(t)
  publish(sleeping(60))
  const answer = await exchangeRaw(t, port, get('/'))
  t.equal(statusOf(answer), 503)
  t.match(answer, /\r\nRetry-After: \d+\r\n/)
  publish(route(HOST))
  t.equal(statusOf(await exchangeRaw(t, port, get('/'))), 503)
})

test('a request whose replicas all refuse waits for others, and its time counts from the beginning', async (t) => {
  const replica = await startReplica(t, (_request, response) => response.end('new'))
  const { port, publish, context } = await startProxy(t)
  publish(sleeping(60_000, await closedPort()))
  const got = exchangeRaw(t, port, get('/'))
  await eventually(() => context.holds.counts().length === 1)
  publish(sleeping(60_000, await closedPort(), replica))
  t.equal(bodyOf(await got), 'new')
  publish(sleeping(100, await closedPort()))
  t.equal(statusOf(await exchangeRaw(t, port, get('/'))), 503)
})

test('no more wait than may, clients that leave are forgotten, and a route that goes ends the wait', async (t) => {
  const { port, publish, context } = await startProxy(t, { limits: { held_requests: 2 } })
  publish(sleeping(60_000))
  const leaving = await RawClient.open(t, port)
  leaving.send(get('/'))
  const staying = exchangeRaw(t, port, get('/'))
  await eventually(() => context.holds.counts()[0]?.requests === 2)
  t.equal(statusOf(await exchangeRaw(t, port, get('/'))), 503, 'the third is one too many')
  leaving.socket.destroy()
  await eventually(() => context.holds.counts()[0]?.requests === 1)
  publish()
  t.equal(statusOf(await staying), 503)
})

test('the body of a request that waits is not read', async (t) => {
  const { port, publish, context } = await startProxy(t)
  publish(sleeping(60_000))
  const client = await RawClient.open(t, port)
  client.send(`POST / HTTP/1.1\r\nHost: ${HOST}\r\nContent-Length: 1000000000\r\n\r\n`)
  await eventually(() => context.holds.counts().length === 1)
  const piece = Buffer.alloc(1024 * 1024)
  let sent = 0
  while (client.socket.write(piece) || client.socket.writableLength === 0) sent += piece.length
  while (sent < 64 * piece.length && client.socket.writableLength < 16 * piece.length) {
    client.socket.write(piece)
    sent += piece.length
  }
  t.ok(sent < 64 * piece.length, `the client is held back after ${sent} bytes`)
})

test('the control plane hears at once that requests wait, also one that comes later', async (t) => {
  const dataDir = await makeDataDir(t)
  const ingress = await startIngress(t, dataDir, { workers: 1 })
  const heard: string[] = []
  const wake = new Promise<void>((resolve) => {
    ingress.onHeld((serviceId) => {
      heard.push(serviceId)
      if (heard.length < 2) throw Object.assign(new Error('no room'), { code: 'SQLITE_FULL' })
      resolve()
    })
  })
  await ingress.publish([sleeping(60_000)])
  const port = await portOf(ingress)
  const [pid] = await pidsOf(ingress)
  const client = await RawClient.open(t, port)
  client.send(get('/'))
  await wake
  t.same(heard, ['service', 'service'], 'who could not act on it hears it again')
  t.match(await ingress.status(), { lost_workers: 0, workers: [{ pid }] }, 'and no worker is blamed')
  await ingress.stop({ keepWorkers: true })
  const later = await startIngress(t, dataDir, { workers: 1, httpPort: port })
  const told = new Promise<string>((resolve) => later.onHeld(resolve))
  t.equal(await told, 'service')
  const replica = await startReplica(t, (_request, response) => response.end('awake'))
  await later.publish([sleeping(60_000, replica)])
  t.match(await client.response(), /awake$/)
  client.socket.destroy()
  await once(client.socket, 'close')
})

test('a request that fails when its turn comes does not keep the others waiting', async (t) => {
  const routes = new RouteIndex()
  const caught: unknown[] = []
  const holds = new Holds(routes, DEFAULT_LIMITS, (error) => caught.push(error))
  const told: string[] = []
  const request = (name: string, faulty: boolean) => {
    const tell = (what: string): true => {
      told.push(`${name} ${what}`)
      if (faulty) throw new Error(what)
      return true
    }
    return {
      hostname: HOST,
      retry: () => tell('retry'),
      giveUp: () => void tell('giveUp'),
      crashed: () => void told.push(`${name} crashed`),
    }
  }
  const waitAgain = (version: number): void => {
    told.length = 0
    routes.replace({ version, routes: [sleeping(1000)] })
    for (const each of [request('faulty', true), request('sound', false)]) holds.add(each, 0, undefined)
  }
  waitAgain(1)
  routes.replace({ version: 2, routes: [sleeping(1000, 1)] })
  t.same(told, ['faulty retry', 'faulty crashed', 'sound retry'])
  t.same(holds.counts(), [])
  waitAgain(3)
  routes.replace({ version: 4, routes: [] })
  t.same(told, ['faulty giveUp', 'faulty crashed', 'sound giveUp'])
  waitAgain(5)
  holds.tick(2000)
  t.same(told, ['faulty giveUp', 'faulty crashed', 'sound giveUp'])
  t.same(holds.counts(), [])
  t.equal(caught.length, 3)
})
