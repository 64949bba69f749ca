import { createServer, type RequestListener } from 'node:http'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { once } from 'node:events'
import type { Test } from 'tap'
import { test } from 'tap'
import { createSystem, type System } from '../../src/lib/system.ts'
import { chooseApiVersion } from '../../src/runtime/docker-engine.ts'
import { createDockerRuntime } from '../../src/runtime/docker-runtime.ts'
import type { Runtime } from '../../src/runtime/runtime.ts'

/** A clock on which half a minute is over in half a second. */
function hastySystem(): System {
  const system = createSystem()
  return { ...system, later: (ms, run) => system.later(ms / 60, run) }
}

/** An engine that says what the test wants it to say. */
async function pretend(t: Test, answer: RequestListener, system = createSystem()): Promise<Runtime> {
  const folder = await mkdtemp(join(tmpdir(), 'berth-engine-'))
  const socketPath = join(folder, 'engine.sock')
  const server = createServer((request, response) => {
    if (request.url === '/version')
      response.end(JSON.stringify({ Version: '20.10.0', ApiVersion: '1.41', MinAPIVersion: '1.12' }))
    else answer(request, response)
  })
  server.listen(socketPath)
  await once(server, 'listening')
  t.teardown(async () => {
    server.closeAllConnections()
    server.close()
    await rm(folder, { recursive: true })
  })
  return createDockerRuntime({ socketPath, nodeId: 'n', system })
}

const drain = async (items: AsyncIterable<unknown>): Promise<void> => {
  for await (const item of items) void item
}

void test('the output of a container that is gone or on its way out has ended', async (t) => {
  for (const status of [404, 409]) {
    const runtime = await pretend(t, (_, response) => {
      response.writeHead(status, { 'content-type': 'application/json' }).end('{"message":"dead"}')
    })
    await drain(runtime.followLogs('a', { follow: true }, AbortSignal.timeout(30_000)))
  }
  const broken = await pretend(t, (_, response) => void response.writeHead(500).end())
  await t.rejects(drain(broken.followLogs('a', { follow: true }, AbortSignal.timeout(30_000))))
})

void test('an engine that is not there is RUNTIME_UNAVAILABLE to every verb', async (t) => {
  const runtime = createDockerRuntime({
    socketPath: '/nonexistent/engine.sock',
    nodeId: 'n',
    system: createSystem(),
  })
  const signal = AbortSignal.timeout(30_000)
  const away = { code: 'RUNTIME_UNAVAILABLE' }
  await t.rejects(runtime.inspectEngine(), away)
  await t.rejects(runtime.ensureNetwork({ name: 'a', labels: {} }), away)
  await t.rejects(runtime.findImage('a:1'), away)
  await t.rejects(runtime.importImage(Readable.from([]), { tag: 'a:1', labels: {}, env: {} }), away)
  await t.rejects(runtime.pruneBuildCache({ max_bytes: 1, unused_for_seconds: 1 }), away)
  await t.rejects(runtime.listContainers({}), away)
  await t.rejects(runtime.stopContainer('a', 1), away)
  await t.rejects(drain(runtime.followLogs('a', { follow: true }, signal)), away)
  await t.rejects(drain(runtime.watchEvents(signal)), away)
})

void test('an engine that accepts and never answers does not hold a verb for ever', async (t) => {
  const runtime = await pretend(t, () => {}, hastySystem())
  await t.rejects(runtime.inspectContainer('a'), { code: 'RUNTIME_UNAVAILABLE', message: /does not answer/ })
})

void test('an engine that dies in the middle of an answer is RUNTIME_UNAVAILABLE', async (t) => {
  const runtime = await pretend(
    t,
    (_request, response) => {
      response.writeHead(200, { 'content-type': 'application/json' })
      response.write('{"Id":', () => response.destroy())
    },
    hastySystem(),
  )
  const signal = AbortSignal.timeout(30_000)
  await t.rejects(runtime.inspectContainer('a'), { code: 'RUNTIME_UNAVAILABLE' })
  await t.rejects(drain(runtime.watchEvents(signal)), { code: 'RUNTIME_UNAVAILABLE' })
  await t.rejects(drain(runtime.followLogs('a', { follow: true }, signal)), { code: 'RUNTIME_UNAVAILABLE' })
})

void test('an engine that ends the stream of events in order has gone away all the same', async (t) => {
  const runtime = await pretend(t, (_request, response) => response.end())
  await t.rejects(drain(runtime.watchEvents(AbortSignal.timeout(30_000))), { code: 'RUNTIME_UNAVAILABLE' })
})

void test('an engine that comes back is found again', async (t) => {
  let broken = true
  const runtime = await pretend(t, (request, response) => {
    if (broken) request.socket.destroy()
    else response.writeHead(404).end('{"message":"no such image"}')
  })
  await t.rejects(runtime.findImage('a:1'), { code: 'RUNTIME_UNAVAILABLE' })
  broken = false
  t.equal(await runtime.findImage('a:1'), undefined)
})

void test("an answer that the contract does not foresee is an internal error that keeps the engine's words for the log", async (t) => {
  const runtime = await pretend(t, (_request, response) => {
    response
      .writeHead(500, { 'content-type': 'application/json' })
      .end('{"message":"the frobnicator is stuck"}')
  })
  const failure = await runtime.listContainers({}).catch((error: unknown) => error)
  t.match(failure, { code: 'INTERNAL', cause: { message: /the frobnicator is stuck/ } })
  t.notMatch((failure as Error).message, /frobnicator/)
})

void test('an image that is gone between its pull and the look at it is pulled again, and not for ever', async (t) => {
  for (const losses of [1, 2, Number.POSITIVE_INFINITY]) {
    let pulls = 0
    const runtime = await pretend(t, ({ method, url = '' }, response) => {
      const isPull = url.includes('/images/create')
      if (isPull) pulls += 1
      // The first time it is gone when it has its name, then before.
      const isGone = !isPull && pulls <= losses && (pulls === 1 ? method === 'GET' : method === 'POST')
      response.writeHead(isGone ? 404 : 200, { 'content-type': 'application/json' })
      response.end(isGone ? '{"message":"No such image"}' : '{"Id":"sha256:1","Size":1,"Config":{}}')
    })
    const from = {
      host: '127.0.0.1:1',
      repository: 'shop/web',
      token: 't',
      digest: `sha256:${'1'.repeat(64)}`,
    }
    const pulled = runtime.pullImage(from, 'berth/shop/web:1', AbortSignal.timeout(30_000))
    if (losses === Number.POSITIVE_INFINITY)
      await t.rejects(pulled, { name: 'TransferFailed', message: /lost the image/ })
    else t.match(await pulled, { id: 'sha256:1' })
    t.equal(pulls, Math.min(losses + 1, 3))
  }
})

/** An engine with any volume and container that it is asked for; what is read of them has no end. `refuse` says which containers stay. */
function pretendVolumes(t: Test, refuse: (name: string) => boolean) {
  const carriers: string[] = []
  const removed: string[] = []
  const labels = { 'berth.node': 'n' }
  const answer: RequestListener = (request, response) => {
    const { pathname, searchParams } = new URL(request.url ?? '', 'http://engine')
    const say = (status: number, body: object): void =>
      void response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
    const name = pathname.split('/')[3] ?? ''
    if (request.method === 'DELETE') {
      const isCarrier = pathname.includes('/containers/')
      if (isCarrier) removed.push(name)
      if (isCarrier && refuse(name)) return say(500, { message: 'device or resource busy' })
      if (carriers.includes(name)) carriers.splice(carriers.indexOf(name), 1)
      return void response.writeHead(204).end()
    }
    if (pathname.endsWith('/containers/json'))
      return say(
        200,
        carriers.map((each) => ({ Names: [`/${each}`], Labels: { ...labels, 'berth.container': each } })),
      )
    if (pathname.endsWith('/containers/create')) {
      carriers.push(searchParams.get('name') ?? '')
      return say(201, { Id: 'id' })
    }
    if (pathname.endsWith('/archive')) return void response.writeHead(200).write('some')
    if (pathname.includes('/volumes/')) return say(200, { Name: name, Labels: labels })
    return say(200, { Id: 'sha256:1', RepoTags: [], Size: 1, Config: {} })
  }
  return { carriers, removed, runtime: () => pretend(t, answer) }
}

void test('a carrier that could not be removed is removed later, and those in use are left alone', async (t) => {
  const stuck = new Set<string>()
  const { carriers, removed, ...engine } = pretendVolumes(t, (name) => stuck.has(name))
  const runtime = await engine.runtime()
  const read = () => runtime.readVolume('data', AbortSignal.timeout(30_000))
  carriers.push('of-before')
  const busy = await read()
  const [ofBusy = ''] = carriers
  const ended = await read()
  const [, ofEnded = ''] = carriers
  t.same(removed, ['of-before'])
  stuck.add(ofEnded)
  ended.destroy()
  // It resists again, and is in the way of nobody.
  while (removed.length < 3) await runtime.removeVolume('other')
  stuck.clear()
  await runtime.removeVolume('other')
  await runtime.removeVolume('other')
  t.same(removed, ['of-before', ofEnded, ofEnded, ofEnded])
  t.same(carriers, [ofBusy], 'what is being read has its carrier')
  busy.destroy()
})

void test('a full disk of the engine is DISK_FULL', async (t) => {
  const runtime = await pretend(t, (_request, response) => {
    const message = 'write /var/lib/docker/x: no space left on device'
    response.writeHead(500, { 'content-type': 'application/json' }).end(JSON.stringify({ message }))
  })
  await t.rejects(runtime.ensureNetwork({ name: 'a', labels: {} }), { code: 'DISK_FULL' })
})

void test('the environment of a container is in the body of the request and not in its URL', async (t) => {
  const urls: string[] = []
  const runtime = await pretend(t, (request, response) => {
    urls.push(request.url ?? '')
    if (request.method === 'GET') response.writeHead(404).end('{"message":"no such container"}')
    else response.writeHead(201, { 'content-type': 'application/json' }).end('{"Id":"abc"}')
  })
  const id = await runtime.ensureContainer({
    name: 'a',
    image: 'a:1',
    env: { TOKEN: 'hush-hush' },
    labels: {},
    network: 'net',
    aliases: [],
    cpu_millis: 100,
    memory_bytes: 1e8,
    pids: 10,
    read_only: false,
    stop_grace_seconds: 1,
  })
  t.equal(id, 'abc')
  t.same(
    urls.filter((url) => url.includes('create')),
    ['/v1.41/containers/create?name=a'],
  )
  t.notOk(urls.some((url) => url.includes('hush')))
})

void test('a name or reference that could leave its path never reaches the engine', async (t) => {
  const urls: string[] = []
  const runtime = await pretend(t, (request, response) => {
    urls.push(request.url ?? '')
    response.writeHead(404).end('{"message":"no"}')
  })
  await t.rejects(runtime.inspectContainer('../images/json'))
  await t.rejects(runtime.inspectContainer('a?all=1'))
  await t.rejects(runtime.findImage('../containers/json'))
  t.same(urls, [])
})

void test('a build that the engine takes down with it is no failure of the build', async (t) => {
  const runtime = await pretend(t, (request, response) => {
    if (request.url?.includes('/info'))
      return response.end(JSON.stringify({ OSType: 'linux', CgroupDriver: 'systemd' }))
    request.resume()
    return response.end('{"error":"failed to solve: context canceled"}\n')
  })
  const build = {
    dockerfile: 'Dockerfile',
    build_args: {},
    labels: {},
    tag: 'a:1',
    memory_bytes: 1e8,
    cpu_millis: 100,
  }
  const building = runtime.buildImage(
    { ...build, context: Readable.from([Buffer.alloc(1024)]) },
    () => {},
    AbortSignal.timeout(30_000),
  )
  await t.rejects(building, { code: 'RUNTIME_UNAVAILABLE' })
})

void test('a call whose signal is aborted rejects with its reason, before and during the call', async (t) => {
  const runtime = await pretend(t, () => {})
  await t.rejects(runtime.inspectEngine(AbortSignal.abort(new Error('early'))), { message: 'early' })
  const cancel = new AbortController()
  const inspecting = runtime.inspectEngine(cancel.signal)
  setImmediate(() => cancel.abort(new Error('late')))
  await t.rejects(inspecting, { message: 'late' })
})

void test('the API version is 1.41 unless the engine has dropped it; an older engine is refused', async (t) => {
  t.equal(chooseApiVersion('1.41', '1.12'), '1.41')
  t.equal(chooseApiVersion('1.52', '1.24'), '1.41')
  t.equal(chooseApiVersion('1.52', '1.44'), '1.44')
  t.equal(chooseApiVersion('1.41', undefined), '1.41')
  t.equal(chooseApiVersion('1.40', '1.12'), undefined)
  t.equal(chooseApiVersion('1.9', '1.2'), undefined)
})

void test('an engine that is too old is refused in words that name both versions', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'berth-engine-'))
  const socketPath = join(folder, 'engine.sock')
  const server = createServer((_request, response) =>
    response.end(JSON.stringify({ Version: '19.03.15', ApiVersion: '1.40', MinAPIVersion: '1.12' })),
  )
  server.listen(socketPath)
  await once(server, 'listening')
  t.teardown(async () => {
    server.close()
    await rm(folder, { recursive: true })
  })
  const runtime = createDockerRuntime({ socketPath, nodeId: 'n', system: createSystem() })
  await t.rejects(runtime.inspectEngine(), {
    code: 'RUNTIME_UNAVAILABLE',
    message: /19\.03\.15 speaks API 1\.40.*1\.41/,
  })
})
