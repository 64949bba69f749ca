import { rmSync, writeFileSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { type Test, test } from 'tap'
import type { AccessEntry, LostEntries } from '../../../src/ingress/contract/control-protocol.ts'
import { createSystem } from '../../../src/lib/system.ts'
import { createDeploymentLogs } from '../../../src/modules/logs/deployment-logs.ts'
import { createLogOperations } from '../../../src/modules/logs/log-operations.ts'
import { createServiceLogs } from '../../../src/modules/logs/service-logs.ts'
import { createRequestCollector } from '../../../src/modules/requests/request-collector.ts'
import { createRequestOperations } from '../../../src/modules/requests/request-operations.ts'
import { requestRoutes } from '../../../src/modules/requests/request-routes.ts'
import { openIdentityApi } from '../../support/identity-api.ts'

const BEGIN = Date.parse('2026-11-27T12:00:00.000Z')

function entry(service: string, count: number, fields: Partial<AccessEntry> = {}): AccessEntry {
  return {
    service_id: service,
    ts: BEGIN + count,
    request_id: `r${count}`,
    method: 'GET',
    hostname: 'shop.example.com',
    path: `/page/${count}`,
    status: 200,
    bytes: 10,
    duration_ms: 1.5,
    upstream_ms: 1.25,
    deployment_id: 'one',
    replica: 'berth-one-0',
    client_address: '192.0.2.7',
    ...fields,
  }
}

/** The access log without an ingress: what it notes is put in by the test. */
function openRequests(t: Test, maxBytes = 1024 ** 2) {
  const dataDir = t.testdir({})
  const system = createSystem()
  const errors: unknown[] = []
  const onError = (error: unknown): void => void errors.push(error)
  const logs = createServiceLogs({ dataDir, folder: 'requests', system, maxBytes, onError })
  t.teardown(() => logs.closeAll())
  const deploymentLogs = createDeploymentLogs({ dataDir, system, stateOf: () => undefined, onError })
  const noted: { entries: AccessEntry[]; lost: LostEntries[] } = { entries: [], lost: [] }
  const lost: [string, number][] = []
  const collect = createRequestCollector({
    system,
    collect: async () => ({ entries: noted.entries.splice(0), lost: noted.lost.splice(0) }),
    serviceExists: (id) => id !== 'gone',
    openLog: logs.open,
    onLost: (id, requests) => void lost.push([id, requests]),
  })
  const operations = createRequestOperations(
    createLogOperations({ serviceLogs: logs, deploymentLogs, system, projectOf: () => 'shop' }),
  )
  return { dataDir, logs, noted, lost, collect, operations, errors }
}

const signal = new AbortController().signal

test('entries are kept and listed newest first, page by page, by release and by text', async (t) => {
  const { noted, collect, operations } = openRequests(t)
  for (let count = 0; count < 25; count += 1)
    noted.entries.push(entry('web', count, { deployment_id: count < 20 ? 'one' : 'two' }))
  noted.entries.push(entry('web', 30, { deployment_id: null, replica: null, status: 503, upstream_ms: null }))
  await collect(signal)
  const first = await operations.listRequests('web', {}, { limit: 10 }, signal)
  t.equal(first.items.length, 10)
  t.match(first.items[0], {
    ts: '2026-11-27T12:00:00.030Z',
    status: 503,
    deployment_id: null,
    replica: null,
    upstream_ms: null,
  })
  t.match(first.items[1], { path: '/page/24', deployment_id: 'two', client_address: '192.0.2.7' })
  const paths: string[] = []
  for (let after: string | undefined; ;) {
    const page = await operations.listRequests(
      'web',
      {},
      { limit: 10, ...(after !== undefined && { after }) },
      signal,
    )
    paths.push(...page.items.map(({ path }) => path))
    if (page.next === undefined) break
    after = page.next
  }
  t.equal(new Set(paths).size, 26, 'each once')
  const ofOne = await operations.listRequests('web', { deployment_id: 'one' }, { limit: 100 }, signal)
  t.equal(ofOne.items.length, 20)
  const found = await operations.listRequests('web', { grep: '/page/17' }, { limit: 100 }, signal)
  t.same(
    found.items.map(({ path }) => path),
    ['/page/17'],
  )
  t.same((await operations.listRequests('other', {}, { limit: 10 }, signal)).items, [])
})

test('what several workers noted comes in the order of time; what nobody owns and what was lost is told apart', async (t) => {
  const { noted, lost, collect, operations } = openRequests(t)
  noted.entries.push(entry('web', 2), entry('web', 4), entry('web', 1), entry('web', 3), entry('gone', 9))
  noted.lost.push({ service_id: 'web', requests: 12 })
  await collect(signal)
  const { items } = await operations.listRequests('web', {}, { limit: 10 }, signal)
  t.same(
    items.map(({ request_id: id }) => id),
    ['r4', 'r3', 'r2', 'r1'],
  )
  t.same(lost, [['web', 12]])
})

test('a stream begins with the last entries and goes on; what was read is not sent again', async (t) => {
  const { noted, collect, operations } = openRequests(t)
  noted.entries.push(...[1, 2, 3].map((count) => entry('web', count)))
  await collect(signal)
  const abort = new AbortController()
  const follow = await operations.followRequests('web', { tail: 2 }, undefined, abort.signal)
  const seen: string[] = []
  for await (const event of follow(abort.signal)) {
    if (event.type !== 'lines') continue
    seen.push(...event.batch.lines.map((line) => operations.toEntry(line).request_id))
    if (seen.length === 2) {
      noted.entries.push(entry('web', 4))
      await collect(signal)
    } else abort.abort()
  }
  t.same(seen, ['r2', 'r3', 'r4'])
  const again = new AbortController()
  for await (const event of (await operations.followRequests('web', {}, 3, again.signal))(again.signal)) {
    if (event.type === 'lines')
      t.same(
        event.batch.lines.map((line) => operations.toEntry(line).request_id),
        ['r4'],
      )
    again.abort()
  }
})

test('files are compressed as they fill up, bounded, and gone with the service', async (t) => {
  const { dataDir, logs, noted, collect, operations, errors } = openRequests(t, 64 * 1024)
  for (let round = 0; round < 20; round += 1) {
    for (let count = 0; count < 100; count += 1) noted.entries.push(entry('web', round * 100 + count))
    await collect(signal)
    await (await logs.open('web'))?.flush()
  }
  await logs.closeAll()
  const directory = join(dataDir, 'logs', 'requests', 'web')
  const names = await readdir(directory)
  t.ok(
    names.some((name) => name.endsWith('.zst')),
    names.join(),
  )
  const { items } = await operations.listRequests('web', {}, { limit: 5 }, signal)
  t.equal(items[0]?.path, '/page/1999')
  const oldest = await operations.listRequests('web', { grep: '"/page/3"' }, { limit: 5 }, signal)
  t.same(oldest.items, [], 'the oldest are gone')
  await logs.remove('web')
  t.same(await readdir(join(dataDir, 'logs', 'requests')), [])
  t.same(errors, [])
})

test('the routes answer entries as described', async (t) => {
  const { noted, collect, operations } = openRequests(t)
  const api = await openIdentityApi(t, { addRoutes: (server) => requestRoutes(server, operations) })
  noted.entries.push(entry('service', 1), entry('service', 2))
  await collect(signal)
  t.equal((await api.send(undefined, 'GET', '/v1/services/service/requests')).status, 401)
})

test('stopping does not wait for a disk that refuses the lines', async (t) => {
  const { dataDir, logs, noted, collect, errors, operations } = openRequests(t)
  await logs.open('web')
  writeFileSync(join(dataDir, 'logs'), 'in the way')
  const stop = new AbortController()
  noted.entries.push(entry('web', 1), entry('web', 2))
  const alive = setInterval(() => {}, 60_000)
  t.teardown(() => clearInterval(alive))
  const collecting = collect(stop.signal)
  while (errors.length === 0) await createSystem().sleep(5)
  stop.abort()
  await collecting
  rmSync(join(dataDir, 'logs'))
  await logs.closeAll()
  const { items } = await operations.listRequests('web', {}, { limit: 10 }, signal)
  t.equal(items.length, 2, 'what can be written at the end still is')
})
