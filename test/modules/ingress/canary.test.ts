import { type Test, test } from 'tap'
import { ReleaseDraw } from '../../../src/ingress/routing/release-split.ts'
import type { Route, Upstream } from '../../../src/ingress/contract/route-table.ts'
import {
  bodyOf,
  closedPort,
  exchangeRaw,
  get,
  headerOf,
  HOST,
  type RunningProxy,
  startProxy,
  startReplica,
} from './proxy-fixture.ts'

const upstream = (deployment_id: string, port: number): Upstream => ({
  id: `${deployment_id}-${port}`,
  address: '127.0.0.1',
  port,
  deployment_id,
})

const shared = (percent: number, upstreams: Upstream[]): Route => ({
  hostname: HOST,
  label: 'demo/app',
  service_id: 'service',
  upstreams,
  canary: { deployment_id: 'canary', percent },
})

const replica = (t: Test, text: string): Promise<number> =>
  startReplica(t, (_request, response) => response.end(text))

/** Asks so many times and counts the answers. */
async function count(t: Test, proxy: RunningProxy, times: number): Promise<Record<string, number>> {
  const counts: Record<string, number> = {}
  for (let index = 0; index < times; index += 1) {
    const body = bodyOf(await exchangeRaw(t, proxy.port, get('/')))
    counts[body] = (counts[body] ?? 0) + 1
  }
  return counts
}

test('the shares are right after a hundred requests, in step with no pattern', (t) => {
  for (const percent of [1, 5, 10, 33, 50, 75, 99]) {
    const draw = new ReleaseDraw()
    const drawn = Array.from({ length: 10_000 }, () => draw.isAmong(percent))
    const share = (some: boolean[]): number => (some.filter(Boolean).length * 100) / some.length
    for (const from of [0, 1_234, 9_900])
      t.ok(Math.abs(share(drawn.slice(from, from + 100)) - percent) <= 3, `${percent} % of a hundred`)
    // A page with ten files must not have the same one of them from the canary for ever.
    for (const period of [2, 3, 7, 10])
      t.ok(
        Math.abs(share(drawn.filter((_, index) => index % period === 0)) - percent) <= 1,
        `${percent} % of every ${period}th`,
      )
  }
  t.end()
})

test('requests are shared by percent, however many replicas each release has, and by which one is in the log', async (t) => {
  const proxy = await startProxy(t)
  const main = [await replica(t, 'main'), await replica(t, 'main')].map((port) => upstream('live', port))
  const canary = upstream('canary', await replica(t, 'canary'))
  proxy.publish(shared(20, [...main, canary]))
  const counts = await count(t, proxy, 100)
  t.ok(Math.abs((counts['canary'] ?? 0) - 20) <= 2, JSON.stringify(counts))
  t.equal((counts['canary'] ?? 0) + (counts['main'] ?? 0), 100)
  const noted = proxy.context.access.take(200).entries
  t.equal(noted.filter(({ deployment_id }) => deployment_id === 'canary').length, counts['canary'])
  // Each table begins where the one before left off: many tables in a row favour nobody.
  let drawn = 0
  for (let index = 0; index < 50; index += 1) {
    proxy.publish(shared(index % 2 === 0 ? 20 : 21, [...main, canary]))
    drawn += (await count(t, proxy, 1))['canary'] ?? 0
  }
  t.ok(drawn >= 8 && drawn <= 13, `${drawn} of 50`)
})

test('a release without a replica that takes connections leaves its share to the other one', async (t) => {
  const proxy = await startProxy(t)
  const main = upstream('live', await replica(t, 'main'))
  const canary = upstream('canary', await replica(t, 'canary'))
  proxy.publish(shared(50, [main, upstream('canary', await closedPort())]))
  t.same(await count(t, proxy, 10), { main: 10 }, 'the canary cannot be reached')
  proxy.publish(shared(50, [upstream('live', await closedPort()), canary]))
  t.same(await count(t, proxy, 10), { canary: 10 }, 'the live release cannot be reached')
  proxy.publish(shared(99, [main]))
  t.same(await count(t, proxy, 10), { main: 10 }, 'the canary has no replica')
})

test('a client of a sticky service stays with the release that it was drawn for', async (t) => {
  const proxy = await startProxy(t)
  const main = upstream('live', await replica(t, 'main'))
  const canary = upstream('canary', await replica(t, 'canary'))
  proxy.publish({ ...shared(50, [main, canary]), rules: { sticky: true } })
  const cookies = new Map<string, string>()
  while (cookies.size < 2) {
    const answer = await exchangeRaw(t, proxy.port, get('/'))
    cookies.set(bodyOf(answer), headerOf(answer, 'Set-Cookie')?.split(';')[0] ?? '')
  }
  for (const [body, cookie] of cookies)
    for (let index = 0; index < 10; index += 1)
      t.equal(bodyOf(await exchangeRaw(t, proxy.port, get('/', HOST, `Cookie: ${cookie}\r\n`))), body)
  proxy.publish({ ...shared(50, [main]), rules: { sticky: true } })
  const line = `Cookie: ${cookies.get('canary')}\r\n`
  t.equal(bodyOf(await exchangeRaw(t, proxy.port, get('/', HOST, line))), 'main', 'the canary has ended')
})
