import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { test, type Test } from 'tap'
import { createSystem } from '../../../src/lib/system.ts'
import { createWorkerFleet } from '../../../src/modules/ingress/worker-fleet.ts'
import {
  isAlive,
  makeDataDir,
  makeIngress,
  pidsOf,
  portOf,
  startIngress,
  untilGone,
} from './ingress-fixture.ts'
import {
  bodyOf,
  eventually,
  exchangeRaw,
  gate,
  get,
  HOST,
  portOf as portOfServer,
  RawClient,
  route,
  startReplica,
  statusOf,
} from './proxy-fixture.ts'

const KEEP_ALIVE = `GET / HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`

async function answering(t: Test, body: string): Promise<number> {
  return await startReplica(t, (_request, response) => response.end(body))
}

test('published routes are served by every worker, and the same ones again publish nothing', async (t) => {
  const ingress = await startIngress(t, await makeDataDir(t))
  const routes = [route(HOST, await answering(t, 'ok'))]
  t.equal(await ingress.publish(routes), 1)
  t.equal(await ingress.publish(routes), 1)
  const status = await ingress.status()
  t.match(status, { version: 1, wanted_workers: 2, ready_workers: 2, lost_workers: 0, last_error: null })
  for (let count = 0; count < 10; count += 1) {
    t.equal(bodyOf(await exchangeRaw(t, status.http_port, get('/'))), 'ok')
  }
  t.equal(await ingress.publish([]), 2)
  t.same(ingress.routes(), { version: 2, routes: [] })
  t.equal(statusOf(await exchangeRaw(t, status.http_port, get('/'))), 404)
})

test('routes that are not valid are refused whole', async (t) => {
  const ingress = await startIngress(t, await makeDataDir(t), { workers: 1 })
  for (const bad of [
    route('Upper.localhost', 1),
    route('', 1),
    route(HOST, 0),
    route('a b', 1),
    route('a.', 1),
  ]) {
    await t.rejects(ingress.publish([route('good.localhost', 1), bad]), /not valid/)
  }
  t.same(ingress.routes(), { version: 0, routes: [] })
})

test('rules are handed over once for all names of a service; more than workers take is not published', async (t) => {
  const ingress = await startIngress(t, await makeDataDir(t), { workers: 1 })
  const replica = await answering(t, 'ok')
  const before = await pidsOf(ingress)
  const rulesOf = (length: number) => ({
    redirects: [{ path: '/a', exact: true, to: `/${'t'.repeat(length)}`, status: 308 }],
  })
  const rules = rulesOf(720_000)
  const names = [HOST, ...Array.from({ length: 60 }, (_, index) => `s${index}.example.com`)]
  await ingress.publish(names.map((name) => Object.assign(route(name, replica), { rules })))
  const tooMuch = ingress.publish([{ ...route(HOST, replica), rules: rulesOf(33 * 2 ** 20) }])
  await t.rejects(tooMuch, /longer than/)
  t.match(await ingress.status(), { version: 1, ready_workers: 1, lost_workers: 0 })
  t.same(await pidsOf(ingress), before)
  t.equal(statusOf(await exchangeRaw(t, await portOf(ingress), get('/a', 's59.example.com'))), 308)
  t.equal(await ingress.publish([route(HOST, replica)]), 2, 'what fits is published again')
})

test('a worker that refuses a set is not killed and serves on by its last one', async (t) => {
  const dataDir = await makeDataDir(t)
  const ingress = await startIngress(t, dataDir, { workers: 1 })
  await ingress.publish([route(HOST, await answering(t, 'ok'))])
  const [pid = 0] = await pidsOf(ingress)
  const said: string[] = []
  const { rules: _none, ...notValid } = route('Not Valid')
  const fleet = createWorkerFleet({
    system: createSystem(),
    log: { info: () => {}, warn: (_, message) => said.push(message), error: () => {} },
    directory: join(dataDir, 'ingress'),
    settings: () => {
      throw new Error('nothing is to be started')
    },
    wanted: 1,
    sets: [
      {
        name: 'routes',
        current: () => ({ version: 9 }),
        request: () => ({ type: 'table', table: { version: 9, rules: [], routes: [notValid] } }),
      },
    ],
    changed: () => {},
    held: () => {},
    left: () => {},
  })
  t.teardown(() => fleet.hangUp())
  t.same(await fleet.push(), [{ pid, name: 'routes' }])
  t.same(await fleet.push(), [{ pid, name: 'routes' }])
  t.same(said, ['an ingress worker refuses a set'], 'it is asked once')
  t.ok(await isAlive(pid))
  t.match(await ingress.status(), { ready_workers: 1, lost_workers: 0 })
  t.equal(bodyOf(await exchangeRaw(t, await portOf(ingress), get('/'))), 'ok')
})

test('what is written is for the owner alone', async (t) => {
  const dataDir = await makeDataDir(t)
  const ingress = await startIngress(t, dataDir, { workers: 1 })
  await ingress.publish([])
  const modeOf = async (path: string) => ((await stat(path)).mode & 0o777).toString(8)
  const directory = join(dataDir, 'ingress')
  t.equal(await modeOf(directory), '700')
  for (const name of await readdir(directory)) {
    t.match(await modeOf(join(directory, name)), /^[67]00$/, name)
  }
})

test('a worker that is killed is replaced, and the port never stops answering for long', async (t) => {
  const ingress = await startIngress(t, await makeDataDir(t))
  await ingress.publish([route(HOST, await answering(t, 'ok'))])
  const before = await pidsOf(ingress)
  process.kill(before[0] as number, 'SIGKILL')
  await eventually(async () => {
    const { ready_workers: ready, workers } = await ingress.status()
    return ready === 2 && !workers.some(({ pid }) => pid === before[0])
  })
  const after = await pidsOf(ingress)
  t.ok(after.includes(before[1] as number), 'the other one was left alone')
  t.equal((await ingress.status()).lost_workers, 1)
  const port = await portOf(ingress)
  for (let count = 0; count < 10; count += 1) t.equal(bodyOf(await exchangeRaw(t, port, get('/'))), 'ok')
})

test('a worker that gets SIGTERM answers what it has before it ends', async (t) => {
  const release = gate()
  const replica = await startReplica(t, (request, response) => {
    if (request.url === '/slow') void release.opened.then(() => response.end('slow'))
    else response.end('ok')
  })
  const ingress = await startIngress(t, await makeDataDir(t), { workers: 1 })
  await ingress.publish([route(HOST, replica)])
  const [pid = 0] = await pidsOf(ingress)
  const slow = await RawClient.open(t, await portOf(ingress))
  slow.send(get('/slow'))
  await eventually(async () => (await ingress.inFlight([`replica-${replica}`])).requests === 1)
  process.kill(pid, 'SIGTERM')
  await eventually(async () => (await ingress.status()).workers.some((each) => each.draining))
  t.same(await ingress.inFlight([`replica-${replica}`]), { requests: 1, upgraded: 0 }, 'it is still counted')
  release.open()
  t.equal(bodyOf(await slow.rest()), 'slow')
  await untilGone(pid)
  const noted = async (): Promise<string[]> =>
    (await ingress.collectRequests()).entries.map(({ path }) => path)
  t.same(await noted(), ['/slow'], 'its last notes are not lost')
  t.same(await noted(), [])
  await eventually(async () => (await ingress.status()).ready_workers === 1)
})

test('what runs is counted over all workers, requests and upgraded connections apart', async (t) => {
  const release = gate()
  const replica = await startReplica(
    t,
    (_request, response) => void release.opened.then(() => response.end('ok')),
  )
  const ingress = await startIngress(t, await makeDataDir(t))
  await ingress.publish([route(HOST, replica)])
  const port = await portOf(ingress)
  const clients = await Promise.all(Array.from({ length: 8 }, () => RawClient.open(t, port)))
  for (const client of clients) client.send(get('/'))
  await eventually(async () => (await ingress.inFlight([`replica-${replica}`, 'other'])).requests === 8)
  t.same(await ingress.inFlight(['other']), { requests: 0, upgraded: 0 })
  await ingress.publish([])
  t.same(
    await ingress.inFlight([`replica-${replica}`]),
    { requests: 8, upgraded: 0 },
    'also after it left the table',
  )
  release.open()
  await Promise.all(clients.map((client) => client.rest()))
  t.same(await ingress.inFlight([`replica-${replica}`]), { requests: 0, upgraded: 0 })
})

async function startControlProcess(
  t: Test,
  dataDir: string,
  replica: number,
): Promise<{ child: ChildProcess; port: number; pids: number[] }> {
  const program = fileURLToPath(new URL('control-process.ts', import.meta.url))
  const child = spawn(process.execPath, [program, dataDir, String(replica), HOST], {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: {},
  })
  t.teardown(() => child.kill('SIGKILL'))
  const [line] = (await once(child.stdout, 'data')) as [Buffer]
  const { port, pids } = JSON.parse(line.toString()) as { port: number; pids: number[] }
  return { child, port, pids: pids.toSorted((a, b) => a - b) }
}

test('a control plane that is killed costs no request; the next one adopts its workers', async (t) => {
  const dataDir = await makeDataDir(t)
  const { child, port, pids } = await startControlProcess(t, dataDir, await answering(t, 'one'))
  const client = await RawClient.open(t, port)
  client.send(KEEP_ALIVE)
  t.equal(bodyOf(await client.response()), 'one')
  child.kill('SIGKILL')
  await once(child, 'exit')
  client.send(KEEP_ALIVE)
  t.equal(bodyOf(await client.response()), 'one', 'an open connection is served')
  t.equal(bodyOf(await exchangeRaw(t, port, get('/'))), 'one', 'and a new one')

  const ingress = await startIngress(t, dataDir)
  t.same(await pidsOf(ingress), pids, 'the same processes')
  t.equal(await portOf(ingress), port)
  t.equal(ingress.routes().version, 1, 'the table was on disk')
  t.equal(await ingress.publish([route(HOST, await answering(t, 'two'))]), 2)
  client.send(KEEP_ALIVE)
  t.equal(bodyOf(await client.response()), 'two')
})

test('a control plane that starts hands over a table that was written and not pushed', async (t) => {
  const dataDir = await makeDataDir(t)
  const first = await startIngress(t, dataDir)
  await first.publish([route(HOST, await answering(t, 'one'))])
  await first.stop({ keepWorkers: true })
  const routes = [route(HOST, await answering(t, 'two'))]
  await writeFile(join(dataDir, 'ingress', 'routes.json'), JSON.stringify({ version: 2, routes }))
  const second = await startIngress(t, dataDir)
  t.equal(bodyOf(await exchangeRaw(t, await portOf(second), get('/'))), 'two')
})

test('versions go on rising when the file with the table is damaged', async (t) => {
  const dataDir = await makeDataDir(t)
  const first = await startIngress(t, dataDir)
  const routes = [route(HOST, await answering(t, 'one'))]
  await first.publish([])
  await first.publish(routes)
  await first.stop({ keepWorkers: true })
  const second = makeIngress(t, dataDir)
  await writeFile(join(dataDir, 'ingress', 'routes.json'), '{"version":2,"rou')
  await second.start()
  const port = await portOf(second)
  t.equal(bodyOf(await exchangeRaw(t, port, get('/'))), 'one', 'the workers serve what they know')
  t.equal(await second.publish([]), 3, 'even an empty table is published, because they may serve another')
  t.equal(statusOf(await exchangeRaw(t, port, get('/'))), 404)
})

test('a new worker starts from the table on disk', async (t) => {
  const dataDir = await makeDataDir(t)
  const first = await startIngress(t, dataDir)
  await first.publish([route(HOST, await answering(t, 'from disk'))])
  await first.stop({ keepWorkers: false })
  t.same(
    (await readdir(join(dataDir, 'ingress'))).filter((name) => name.endsWith('.sock')),
    [],
  )
  const second = await startIngress(t, dataDir)
  t.equal(bodyOf(await exchangeRaw(t, await portOf(second), get('/'))), 'from disk')
})

test('workers with other settings are replaced without a refused connection or a failed request', async (t) => {
  const dataDir = await makeDataDir(t)
  const first = await startIngress(t, dataDir)
  await first.publish([route(HOST, await answering(t, 'ok'))])
  const before = await pidsOf(first)
  const port = await portOf(first)
  await first.stop({ keepWorkers: true })

  const stop = new AbortController()
  // Else a test that fails would never end.
  t.teardown(() => stop.abort())
  const failures: string[] = []
  let answers = 0
  const newConnections = async (): Promise<void> => {
    while (!stop.signal.aborted) {
      const response = await exchangeRaw(t, port, get('/')).catch(String)
      if (bodyOf(response) === 'ok') answers += 1
      else failures.push(response)
    }
  }
  const oneConnection = async (): Promise<void> => {
    let client = await RawClient.open(t, port)
    while (!stop.signal.aborted) {
      client.send(KEEP_ALIVE)
      const response = await client.response().catch(String)
      if (bodyOf(response) === 'ok') answers += 1
      else failures.push(response)
      if (/Connection: close/i.test(response)) client = await RawClient.open(t, port)
    }
  }
  const sockets = await listeningSockets(port)
  t.equal(sockets.length, 2)
  const load = [newConnections(), newConnections(), oneConnection(), oneConnection()]
  const second = await startIngress(t, dataDir, {
    limits: { response_head_ms: 123_000, drain_idle_ms: 1000 },
  })
  await Promise.all(before.map(untilGone))
  const seen = answers
  await eventually(() => answers > seen + 100)
  stop.abort()
  await Promise.all(load)
  t.same(failures, [])
  t.equal((await second.status()).ready_workers, 2)
  t.equal((await second.status()).lost_workers, 0, 'they were retired, not lost')
  t.same(await listeningSockets(port), sockets, 'the new workers listen on the very sockets of the old ones')
})

/** The inodes of the sockets that listen on a port of 127.0.0.1. */
async function listeningSockets(port: number): Promise<string[]> {
  const local = `0100007F:${port.toString(16).toUpperCase().padStart(4, '0')}`
  const rows = (await readFile('/proc/net/tcp', 'utf8')).split('\n').map((line) => line.trim().split(/\s+/))
  return rows
    .filter(([, address, , state]) => address === local && state === '0A')
    .map((row) => row[9] ?? '')
    .toSorted()
}

test('workers end themselves when their data directory is gone', async (t) => {
  const dataDir = await makeDataDir(t)
  const first = await startIngress(t, dataDir)
  const pids = await pidsOf(first)
  await first.stop({ keepWorkers: true })
  await rm(dataDir, { recursive: true })
  await Promise.all(pids.map(untilGone))
  t.pass('gone')
})

test('a worker whose socket was taken away for a moment lives on', async (t) => {
  const dataDir = await makeDataDir(t)
  const first = await startIngress(t, dataDir, { workers: 1, limits: { orphan_ms: 60_000 } })
  const [pid = 0] = await pidsOf(first)
  await first.stop({ keepWorkers: true })
  const path = join(dataDir, 'ingress', `worker-${pid}.sock`)
  await rename(path, `${path}.away`)
  await rename(`${path}.away`, path)
  const second = await startIngress(t, dataDir, { workers: 1, limits: { orphan_ms: 60_000 } })
  t.same(await pidsOf(second), [pid])
})

test('the table on disk comes back when somebody removes it', async (t) => {
  const dataDir = await makeDataDir(t)
  const ingress = await startIngress(t, dataDir, { workers: 1, limits: { orphan_ms: 60_000 } })
  await ingress.publish([route(HOST)])
  const path = join(dataDir, 'ingress', 'routes.json')
  await rm(path)
  const [pid = 0] = await pidsOf(ingress)
  process.kill(pid, 'SIGKILL')
  await eventually(async () => (await readFile(path, 'utf8').catch(() => '')).includes(HOST))
  await eventually(async () => (await ingress.status()).ready_workers === 1)
  t.equal(
    statusOf(await exchangeRaw(t, await portOf(ingress), get('/'))),
    503,
    'the new worker knows the route',
  )
})

test('a port that another program holds is named, with the setting to change', async (t) => {
  const other = createServer()
  other.listen(0, '127.0.0.1')
  await once(other, 'listening')
  t.teardown(() => other.close())
  const port = portOfServer(other)
  const ingress = makeIngress(t, await makeDataDir(t), { httpPort: port })
  await t.rejects(ingress.start(), new RegExp(`Port ${port} on 127.0.0.1 is in use.*BERTH_HTTP_PORT`))
})

test('a second Berth does not share the port of the first', async (t) => {
  const first = await startIngress(t, await makeDataDir(t), { workers: 1 })
  const second = makeIngress(t, await makeDataDir(t), { workers: 1, httpPort: await portOf(first) })
  await t.rejects(second.start(), /is in use by another program/)
})

test('a data directory with too long a path is refused before anything is made', async (t) => {
  const deep = join(await makeDataDir(t), 'a'.repeat(60), 'b'.repeat(60))
  await t.rejects(makeIngress(t, deep).start(), /too long for a Unix socket/)
})

test('sockets that processes left behind are cleared away, and no foreign process is touched', async (t) => {
  const dataDir = await makeDataDir(t)
  const directory = join(dataDir, 'ingress')
  const bystander = spawn(process.execPath, ['-e', 'process.stdin.resume()'], { stdio: 'pipe', env: {} })
  t.teardown(() => bystander.kill('SIGKILL'))
  await once(bystander, 'spawn')
  const leftover = join(directory, `worker-${bystander.pid}.sock`)
  const server = createServer()
  server.listen(`${leftover}.tmp`)
  await once(server, 'listening')
  // Renamed, so that closing the server leaves the file: a socket that nobody listens on.
  await rename(`${leftover}.tmp`, leftover)
  server.close()
  await once(server, 'close')
  const ingress = await startIngress(t, dataDir, { workers: 1 })
  t.notOk((await readdir(directory)).includes(`worker-${bystander.pid}.sock`))
  t.ok(await isAlive(bystander.pid as number))
  t.equal((await ingress.status()).ready_workers, 1)
})

test('a worker that hangs is killed and replaced before a publication is called done', async (t) => {
  const ingress = await startIngress(t, await makeDataDir(t))
  const [hung = 0] = await pidsOf(ingress)
  process.kill(hung, 'SIGSTOP')
  t.equal(await ingress.publish([route(HOST, await answering(t, 'ok'))]), 1)
  await untilGone(hung)
  await eventually(async () => (await ingress.status()).ready_workers === 2)
  t.notOk((await pidsOf(ingress)).includes(hung))
})

test('surplus workers are retired when fewer are wanted', async (t) => {
  const dataDir = await makeDataDir(t)
  const first = await startIngress(t, dataDir, { workers: 3 })
  const before = await pidsOf(first)
  await first.stop({ keepWorkers: true })
  const second = await startIngress(t, dataDir, { workers: 1 })
  await eventually(async () => (await pidsOf(second)).length === 1)
  t.ok(before.includes((await pidsOf(second))[0] as number))
})

test('a worker’s log says what failed, without bodies and in bounds', async (t) => {
  const dataDir = await makeDataDir(t)
  const ingress = await startIngress(t, dataDir, { workers: 1 })
  await ingress.publish([route(HOST)])
  const port = await portOf(ingress)
  for (let count = 0; count < 60; count += 1) await exchangeRaw(t, port, get('/?secret=1'))
  const text = await readFile(join(dataDir, 'ingress', 'workers.log'), 'utf8')
  t.match(text, /"event":"request_failed","status":503,"reason":"no_replica"/)
  t.notMatch(text, /secret/)
  t.ok(text.split('\n').length < 60, 'a storm of failures is not a storm of lines')
})

test('a directory that others may read is closed to them, and gets the compiled program for that of before', async (t) => {
  const directory = join(await makeDataDir(t, { isNew: true }), 'ingress')
  await mkdir(join(directory, 'compile-cache-of-before'), { recursive: true })
  await chmod(directory, 0o777)
  await startIngress(t, dirname(directory), { workers: 1 })
  t.equal((await stat(directory)).mode & 0o777, 0o700)
  const caches = (await readdir(directory)).filter((name) => name.startsWith('compile-cache-'))
  t.equal(caches.length, 1)
  t.not(caches[0], 'compile-cache-of-before')
  const compiled = await readdir(join(directory, caches[0] ?? ''), { recursive: true })
  t.ok(compiled.length > 20, `${compiled.length} files of compiled code`)
})
