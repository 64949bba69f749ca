import { once } from 'node:events'
import { request } from 'node:http'
import { text } from 'node:stream/consumers'
import { test } from 'tap'
import { AccessRings } from '../../../src/ingress/exchange/access-ring.ts'
import type { AccessEntry } from '../../../src/ingress/contract/control-protocol.ts'
import { waitFor } from '../../support/wait.ts'
import {
  closedPort,
  HOST,
  RawClient,
  route,
  type RunningProxy,
  startProxy,
  startReplica,
} from './proxy-fixture.ts'

async function ask(
  port: number,
  path: string,
  options: { method?: string; headers?: Record<string, string>; body?: string } = {},
): Promise<string> {
  const { body, headers, ...rest } = options
  const sent = request({
    port,
    host: '127.0.0.1',
    path,
    agent: false,
    headers: { host: HOST, ...headers },
    ...rest,
  })
  sent.end(body)
  const [response] = (await once(sent, 'response')) as [NodeJS.ReadableStream]
  return text(response)
}

const take = ({ context }: RunningProxy): Promise<AccessEntry[]> =>
  waitFor('an entry', () => {
    const { entries } = context.access.take(100)
    return entries.length > 0 ? entries : undefined
  })

test('every request is noted when it is over, without its query', async (t) => {
  const replica = await startReplica(t, (incoming, response) => {
    incoming.resume()
    response.writeHead(incoming.url === '/made' ? 201 : 200)
    response.write('first, ')
    setTimeout(() => response.end('second'), 30)
  })
  const all = await startProxy(t)
  all.publish(route(HOST, replica))
  await ask(all.port, '/made?token=secret', {
    method: 'POST',
    body: 'hello',
    headers: { 'x-request-id': 'mine' },
  }).catch(() => {})
  await ask(all.port, '/made', { method: 'POST', body: 'hello', headers: { 'x-request-id': 'mine' } })
  const entries = [...(await take(all))]
  const [first, second] = entries
  t.equal(first?.path, '/made')
  t.match(second, {
    service_id: 'service',
    method: 'POST',
    hostname: HOST,
    path: '/made',
    status: 201,
    bytes: 13,
    deployment_id: 'deployment',
    replica: `replica-${replica}`,
    client_address: '127.0.0.1',
    request_id: 'mine',
  })
  t.ok((second?.duration_ms ?? 0) >= 25, 'the whole of it')
  t.ok((second?.upstream_ms ?? 1000) <= (second?.duration_ms ?? 0))
  t.notMatch(JSON.stringify(entries), /secret/)
})

test('what failed, and who left, is noted too', async (t) => {
  const silent = await startReplica(t, () => {})
  const all = await startProxy(t)
  all.publish(route(HOST, await closedPort()))
  await ask(all.port, '/down')
  t.match(await take(all), [{ path: '/down', status: 502, upstream_ms: null }])
  all.publish(route(HOST))
  await ask(all.port, '/none')
  t.match(await take(all), [{ path: '/none', status: 503, deployment_id: null, replica: null }])
  all.publish(route(HOST, silent))
  const client = await RawClient.open(t, all.port)
  client.send(`GET /left HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`)
  await waitFor('it is with the replica', () =>
    [...all.context.routes.states()].some(({ requests }) => requests > 0),
  )
  client.socket.destroy()
  t.match(await take(all), [{ path: '/left', status: 499 }])
})

test('a hostname that leads nowhere is in no log, and a long path is cut', async (t) => {
  const replica = await startReplica(t, (_, response) => response.end('x'))
  const all = await startProxy(t)
  all.publish(route(HOST, replica))
  await ask(all.port, '/', { headers: { host: 'elsewhere.example.com' } })
  await ask(all.port, `/${'a'.repeat(2000)}`)
  const entries = await take(all)
  t.equal(entries.length, 1)
  t.equal(entries[0]?.path.length, 512)
})

const entry = (service: string, request: number): AccessEntry => ({
  service_id: service,
  ts: request,
  request_id: String(request),
  method: 'GET',
  hostname: HOST,
  path: '/',
  status: 200,
  bytes: 0,
  duration_ms: 1,
  upstream_ms: 1,
  deployment_id: 'd',
  replica: 'r',
  client_address: '127.0.0.1',
})

test('a service that is asked too much loses its own oldest entries, and they are counted', async (t) => {
  const rings = new AccessRings()
  for (let count = 0; count < 5000; count += 1) rings.add(entry('busy', count))
  rings.add(entry('quiet', 7))
  const { entries, lost, more } = rings.take(100_000)
  t.same(lost, [{ service_id: 'busy', requests: 5000 - 4096 }])
  t.equal(more, false)
  t.same(entries.map(({ ts }) => ts).slice(0, 2), [904, 905], 'the oldest that are left come first')
  t.equal(entries.length, 4097)
  t.equal(entries.at(-1)?.service_id, 'quiet')
  t.same(rings.take(10), { entries: [], lost: [], more: false })
})

test('notes are taken in portions, and nothing is taken twice', async (t) => {
  const rings = new AccessRings()
  for (let count = 0; count < 25; count += 1) rings.add(entry(`s${count % 2}`, count))
  const seen: number[] = []
  for (let more = true; more;) {
    const taken = rings.take(10)
    t.ok(taken.entries.length <= 10)
    seen.push(...taken.entries.map(({ ts }) => ts))
    more = taken.more
  }
  t.same(
    seen.toSorted((a, b) => a - b),
    Array.from({ length: 25 }, (_, index) => index),
  )
})

test('many services cannot fill the memory', async (t) => {
  const rings = new AccessRings()
  for (let count = 0; count < 50_000; count += 1) rings.add(entry(`s${count % 5000}`, count))
  const { entries, lost } = rings.take(100_000)
  t.equal(entries.length, 32_768)
  t.equal(
    lost.reduce((sum, each) => sum + each.requests, 0),
    50_000 - 32_768,
  )
})
