import type { Readable } from 'node:stream'
import type { Test } from 'tap'
import { test } from 'tap'
import { createSystem, type System } from '../../../src/lib/system.ts'
import { type BuildSourceRequest, createBuilds } from '../../../src/modules/builds/build-operations.ts'
import { createBuildQueue } from '../../../src/modules/builds/build-queue.ts'
import { createFakeRuntime } from '../../../src/runtime/fake-runtime.ts'
import type { BuildSpec } from '../../../src/runtime/runtime.ts'
import { type SourceTree, writeSource } from './source-tree.ts'

const SETTINGS = {
  build_concurrency: 1,
  build_timeout_seconds: 600,
  build_memory_bytes: 1e9,
  build_cpu_millis: 1000,
  node_base_image: 'base:1',
}

async function text(stream: Readable): Promise<string> {
  const pieces: Buffer[] = []
  for await (const piece of stream as AsyncIterable<Buffer>) pieces.push(piece)
  return Buffer.concat(pieces).toString()
}

function open(settings: Partial<typeof SETTINGS> = {}, system: System = createSystem()) {
  const fake = createFakeRuntime({ system })
  return {
    ...fake,
    builds: createBuilds({ runtime: fake.runtime, system, settings: { ...SETTINGS, ...settings } }),
  }
}

type Changes = Partial<Omit<BuildSourceRequest, 'build'>> & { build?: Partial<BuildSourceRequest['build']> }

async function requestOf(t: Test, tree: SourceTree, { build, ...changes }: Changes = {}) {
  const lines: string[] = []
  const request: BuildSourceRequest = {
    source_dir: await writeSource(t, tree),
    build: {
      builder: 'auto',
      dockerfile_path: null,
      context_path: null,
      target: null,
      build_args: {},
      ...build,
    },
    secrets: {},
    tag: 'shop/web:1',
    labels: { 'berth.service': 's' },
    onLine: ({ line }) => lines.push(line),
    signal: AbortSignal.timeout(60_000),
    ...changes,
  }
  return { request, lines }
}

void test('a Dockerfile is built in its context, with target, arguments, labels and bounds', async (t) => {
  const { builds, controls } = open()
  const specs: BuildSpec[] = []
  controls.build((spec) => {
    specs.push(spec)
    return { image: { exposed_ports: [3000] } }
  })
  const build = { context_path: 'svc', target: 'web', build_args: { A: '1' } }
  const secrets = { TOKEN: 'canary' }
  const { request, lines } = await requestOf(t, { 'svc/Dockerfile': 'FROM x', other: '' }, { build, secrets })
  const built = await builds.buildSource(request)
  t.match(built, { builder: 'dockerfile', exposed_ports: [3000], image_id: /^sha256:/ })
  t.match(specs, [
    {
      dockerfile: 'Dockerfile',
      target: 'web',
      build_args: { A: '1' },
      secrets,
      tag: 'shop/web:1',
      labels: request.labels,
      memory_bytes: 1e9,
      cpu_millis: 1000,
    },
  ])
  t.same(lines, ['Detected Dockerfile'])
})

void test('generated builds carry their Dockerfile, the source apart from it, and what they serve with', async (t) => {
  const { runtime } = open()
  const contexts: string[] = []
  const recording = {
    ...runtime,
    buildImage: async (spec: BuildSpec) => {
      contexts.push(await text(spec.context))
      return { image_id: 'sha256:1' }
    },
  }
  const builds = createBuilds({ runtime: recording, system: createSystem(), settings: SETTINGS })
  const site = await requestOf(t, { 'public/index.html': '<h1>site</h1>', 'README.md': 'of no use there' })
  t.match(await builds.buildSource(site.request), { builder: 'static', exposed_ports: [] })
  t.match(contexts[0], /FROM base:1[^]*app\/index\.html[^]*<h1>site/)
  t.match(contexts[0], /berth\/static-server\.mjs/)
  t.notMatch(contexts[0], /of no use there/)
  const node = await requestOf(t, {
    'package.json': '{"scripts":{"start":"node x.js"},"dependencies":{"ms":"2"}}',
    'x.js': 'run()',
    'node_modules/ms/index.js': 'stale',
    '.git/config': 'secret',
  })
  t.match(await builds.buildSource(node.request), { builder: 'node' })
  t.match(contexts[1], /RUN npm install[^]*run\(\)/)
  t.notMatch(contexts[1], /stale|secret/)
  t.ok(node.lines.some((line) => line.includes('no package-lock.json')))
})

void test('what cannot be built fails before the engine is asked', async (t) => {
  const { builds, controls } = open()
  const fails = async (tree: SourceTree, changes: Changes, message: RegExp) => {
    const { request } = await requestOf(t, tree, changes)
    await t.rejects(builds.buildSource(request), { name: 'BuildFailed', message })
  }
  await fails({ 'main.py': '' }, {}, /Add a Dockerfile/)
  await fails({ 'index.html': '' }, { build: { context_path: 'web' } }, /no folder web/)
  await fails({ web: '-> /etc' }, { build: { context_path: 'web' } }, /symbolic link/)
  await fails({ 'index.html': '' }, { build: { target: 'prod' } }, /has no stages/)
  await fails({ 'index.html': '' }, { secrets: { TOKEN: 'x' } }, /build_secrets is for a Dockerfile/)
  await fails({ 'package.json': '{}' }, {}, /not clear what to run/)
  t.equal(controls.calls('buildImage'), 0)
})

void test('builds wait for each other in order, hear how many are ahead, and a cancelled one leaves the queue', async (t) => {
  const { builds, controls } = open()
  const gates = [1, 2, 3].map(() => Promise.withResolvers<void>())
  const begun: string[] = []
  controls.build(({ tag }) => {
    begun.push(tag)
    const gate = gates[begun.length - 1]
    return gate ? { until: gate.promise } : {}
  })
  const cancel = new AbortController()
  const requests = await Promise.all(
    ['a:1', 'b:1', 'c:1'].map((tag) =>
      requestOf(t, { Dockerfile: '' }, { tag, ...(tag === 'b:1' ? { signal: cancel.signal } : {}) }),
    ),
  )
  const started = new Promise<void>((resolve) => controls.before('buildImage', () => resolve()))
  const [a, b, c] = requests.map(({ request }) => builds.buildSource(request))
  await started
  t.match(requests[1]?.lines, ['Waiting for another build'])
  t.match(requests[2]?.lines, ['Waiting for 2 other builds'])
  cancel.abort(new Error('superseded'))
  await t.rejects(async () => b, { message: 'superseded' })
  gates[0]?.resolve()
  await a
  gates[1]?.resolve()
  await c
  t.same(begun, ['a:1', 'c:1'])
})

void test('a build that takes too long is stopped and fails, and the next one runs', async (t) => {
  const { builds, controls } = open({ build_timeout_seconds: 0.2 })
  // The daemon's timers keep no process alive, and nothing else is going on here.
  const alive = setInterval(() => {}, 1000)
  t.teardown(() => clearInterval(alive))
  let hang = true
  controls.build(() => (hang ? { until: new Promise(() => {}) } : {}))
  const { request } = await requestOf(t, { Dockerfile: '' })
  await t.rejects(builds.buildSource(request), { name: 'BuildFailed', message: /longer than 0\.2 s/ })
  hang = false
  t.ok(await builds.buildSource(request))
})

void test('a failure of the engine is no failure of the build', async (t) => {
  const { builds, controls } = open()
  controls.setAway(true)
  const { request } = await requestOf(t, { Dockerfile: '' })
  await t.rejects(builds.buildSource(request), { code: 'RUNTIME_UNAVAILABLE' })
})

void test('a place in the queue is given back once, however often it is given back', async (t) => {
  const queue = createBuildQueue(2)
  const signal = AbortSignal.timeout(30_000)
  const leaves = [await queue.enter(() => {}, signal), await queue.enter(() => {}, signal)]
  const waits: number[] = []
  const third = queue.enter((ahead) => waits.push(ahead), signal)
  const fourth = queue.enter((ahead) => waits.push(ahead), signal)
  leaves[0]?.()
  leaves[0]?.()
  const leaveThird = await third
  let isIn = false
  void fourth.then(() => (isIn = true))
  await new Promise((resolve) => setImmediate(resolve))
  t.equal(isIn, false)
  leaveThird()
  await fourth
  t.same(waits, [1, 2])
})
