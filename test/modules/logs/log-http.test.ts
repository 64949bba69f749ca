import { test } from 'tap'
import { DEPLOYMENT, instant, nextOf, openLogApi, SERVICE } from './log-api.ts'

const LOGS = `/v1/services/${SERVICE}/logs`
const range = (from: number, to: number): number[] =>
  Array.from({ length: to - from + 1 }, (_, index) => from + index)

test('the newest lines come oldest first, and the Link header leads to all others', async (t) => {
  const api = await openLogApi(t)
  await api.write(1000)
  const first = await api.get(LOGS)
  t.match(first, { status: 200, type: /^application\/json/ })
  t.same(first.numbers, range(801, 1000))
  t.match(first.lines.at(-1), {
    seq: 1000,
    stream: 'stdout',
    replica: 0,
    deployment_id: 'd1',
    line: 'line 1000',
  })
  const pages = [first.numbers]
  for (let next = nextOf(first.link); next !== undefined;) {
    const page = await api.get(next)
    pages.push(page.numbers)
    next = nextOf(page.link)
  }
  t.same(pages.toReversed().flat(), range(1, 1000))
})

const QUERIES: [title: string, query: string, numbers: number[]][] = [
  ['tail', 'tail=3', [298, 299, 300]],
  ['limit', 'limit=2', [299, 300]],
  ['since an instant', `since=${instant(298)}`, [298, 299, 300]],
  ['since a line', 'since=298', [299, 300]],
  ['until', `until=${instant(2)}`, [1, 2]],
  ['a span', `since=${instant(10)}&until=${instant(12)}`, [10, 11, 12]],
  ['an instant with an offset', 'since=2026-11-21T09:04:59%2B01:00', [299, 300]],
  ['replica', 'replica=1&tail=2', [297, 299]],
  ['deployment', 'deployment_id=d1&tail=2', [149, 150]],
  ['text', 'grep=line%20123', [123]],
  ['text that is nowhere', 'grep=%22replica%22', []],
  ['nothing', 'tail=0', []],
]

test('lines can be picked in every way', async (t) => {
  const api = await openLogApi(t)
  await api.write(150)
  await api.write(150, { deployment: 'd2' })
  for (const [title, query, numbers] of QUERIES)
    t.same((await api.get(`${LOGS}?${query}`)).numbers, numbers, title)
})

const WRONG: [query: string, field: string][] = [
  ['since=yesterday', 'since'],
  ['until=17', 'until'],
  ['tail=-1', 'tail'],
  ['tail=10001', 'tail'],
  ['replica=x', 'replica'],
  ['grep=', 'grep'],
  [`grep=${'x'.repeat(257)}`, 'grep'],
  ['cursor=x', 'cursor'],
  ['follow=true', 'follow'],
]

test('a wrong query is refused by name, for reading and for following', async (t) => {
  const api = await openLogApi(t)
  for (const [query, field] of WRONG) {
    t.match(await api.get(`${LOGS}?${query}`), {
      status: 400,
      body: { error: 'VALIDATION_ERROR', details: [{ field }] },
    })
  }
  for (const query of ['since=yesterday', 'format=xml', 'tail=x']) {
    t.match(await api.get(`${LOGS}/stream?${query}`), { status: 400, body: { error: 'VALIDATION_ERROR' } })
  }
})

test('a service that has said nothing has an empty log', async (t) => {
  const api = await openLogApi(t)
  t.match(await api.get(LOGS), { status: 200, lines: [], link: null })
})

for (const path of [
  LOGS,
  `${LOGS}/stream`,
  `/v1/deployments/${DEPLOYMENT}/logs`,
  `/v1/deployments/${DEPLOYMENT}/logs/stream`,
]) {
  test(`only who may read logs may GET ${path.replaceAll(/[0-9a-f-]{36}/g, '{id}')}`, async (t) => {
    const api = await openLogApi(t)
    t.match(await api.get(path, 'nobody'), { status: 401 })
    t.match(await api.get(path, 'viewer'), { status: 403, body: { permission: 'logs.read' } })
    t.match(await api.get(path, 'stranger'), { status: 404 })
    t.match(await api.get(path.replace(/[0-9a-f-]{36}/, SERVICE.replace('a', 'b'))), { status: 404 })
  })
}

test('the log of a deployment comes from the first line on, in pages', async (t) => {
  const api = await openLogApi(t)
  const path = `/v1/deployments/${DEPLOYMENT}/logs`
  t.match(await api.get(path), { status: 200, lines: [] })
  for (let index = 1; index <= 25; index += 1) {
    api.deploymentLogs.append(DEPLOYMENT, { step: 'build', stream: 'stdout', line: `line ${index}` })
  }
  const first = await api.get(`${path}?limit=10`)
  t.same(first.numbers, range(1, 10))
  t.match(first.lines[0], { seq: 1, step: 'build', stream: 'stdout', line: 'line 1' })
  const second = await api.get(nextOf(first.link) ?? '')
  t.same(second.numbers, range(11, 20))
  const third = await api.get(nextOf(second.link) ?? '')
  t.same(third.numbers, range(21, 25))
  t.equal(third.link, null)
  t.same((await api.get(`${path}?since=23`)).numbers, [24, 25])
  t.equal((await api.get(path)).numbers.length, 25)
})
