import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'
import { test } from 'tap'
import type { System } from '../../../src/lib/system.ts'
import { BuildFailed, ContainerRefused, TransferFailed } from '../../../src/runtime/runtime.ts'
import type { BuildLine, BuildSpec, ContainerSpec, LogChunk, Runtime } from '../../../src/runtime/runtime.ts'
import { openRegistryApi, PROJECT } from '../../support/registry-api.ts'
import { busyboxRootfs } from '../../support/busybox-image.ts'
import { volumes } from './volume-suite.ts'

/** What a container of the suite does. */
export interface Program {
  lines?: { stream: 'stdout' | 'stderr'; line: string }[]
  /** Exits with this code after its lines; without it, it runs until it is stopped. */
  exit?: number
  sigterm?: 'ignore'
}

/** An engine for one test, in which nothing is anybody else's. */
export interface RuntimeHarness {
  runtime: Runtime
  /** The runtime of another node on the same engine. */
  stranger: Runtime
  system: System
  /** Begins every name and tag of this test. */
  prefix: string
  /** The image of all containers of the suite. */
  image: string
  /** The command that makes a container of the image do this. */
  command(program: Program): string[]
  /** A build that succeeds, fails or never ends. */
  build(kind: 'succeeds' | 'fails' | 'hangs'): Promise<Pick<BuildSpec, 'context' | 'dockerfile'>>
}

type Factory = (t: Test) => Promise<RuntimeHarness>

/** What every runtime must do, whatever is behind it. */
export function runtimeConformance(name: string, create: Factory): void {
  const each = eachWith(name, create)
  networks(each)
  volumes(each, specOf)
  images(each)
  transfers(each)
  builds(each)
  containers(each)
  ends(each)
  logs(each)
  events(each)
}

/** The part of it that is about builds. */
export function buildConformance(name: string, create: Factory): void {
  builds(eachWith(name, create))
}

function eachWith(name: string, create: Factory): Each {
  return (title, run) => void test(`${name}: ${title}`, async (t) => run(t, await create(t)))
}

type Each = (title: string, run: (t: Test, harness: RuntimeHarness) => Promise<void>) => void

/** A container of the harness; `program` decides what it does. */
function specOf(harness: RuntimeHarness, name: string, program: Program = {}): ContainerSpec {
  return {
    name: `${harness.prefix}-${name}`,
    image: harness.image,
    command: harness.command(program),
    env: { GREETING: 'hello' },
    labels: { 'berth.service': harness.prefix, 'berth.replica': '0' },
    network: `${harness.prefix}-net`,
    aliases: [name],
    cpu_millis: 1000,
    memory_bytes: 64 * 1024 * 1024,
    pids: 64,
    read_only: false,
    stop_grace_seconds: 5,
  }
}

async function run(harness: RuntimeHarness, name: string, program: Program = {}): Promise<ContainerSpec> {
  const spec = specOf(harness, name, program)
  await harness.runtime.ensureNetwork({ name: spec.network, labels: {} })
  await harness.runtime.ensureContainer(spec)
  await harness.runtime.startContainer(spec.name)
  return spec
}

/** Waits until the container has the phase, for at most half a minute. */
async function untilPhase(harness: RuntimeHarness, name: string, phase: 'running' | 'exited') {
  for (let attempt = 0; attempt < 600; attempt += 1) {
    const info = await harness.runtime.inspectContainer(name)
    if (info?.phase === phase) return info
    await harness.system.sleep(50)
  }
  throw new Error(`${name} is not ${phase}`)
}

const patience = (): AbortSignal => AbortSignal.timeout(60_000)

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = []
  for await (const item of items) all.push(item)
  return all
}

function networks(each: Each): void {
  each(
    'a network is made once, however often and however concurrently it is asked for',
    async (t, { runtime, prefix }) => {
      const network = { name: `${prefix}-a`, labels: { 'berth.project': 'p' } }
      await Promise.all([1, 2, 3].map(() => runtime.ensureNetwork(network)))
      await runtime.ensureNetwork(network)
      await runtime.removeNetwork(network.name)
      await t.resolves(runtime.removeNetwork(network.name), 'removing an absent one is fine')
    },
  )

  each('a network that a running container uses is not removed', async (t, harness) => {
    const spec = await run(harness, 'user')
    await t.rejects(harness.runtime.removeNetwork(spec.network), { code: 'CONFLICT' })
    await harness.runtime.removeContainer(spec.name)
    await harness.runtime.removeNetwork(spec.network)
  })

  each(
    "another node's network is neither taken over nor removed",
    async (t, { runtime, stranger, prefix }) => {
      const network = { name: `${prefix}-a`, labels: {} }
      await stranger.ensureNetwork(network)
      await t.rejects(runtime.ensureNetwork(network), { code: 'CONFLICT' })
      await t.rejects(runtime.removeNetwork(network.name), { code: 'CONFLICT' })
      await stranger.removeNetwork(network.name)
    },
  )
}

function images(each: Each): void {
  each(
    'an imported image is found by its tag and id, listed by its labels, and removed',
    async (t, { runtime, prefix }) => {
      const tag = `${prefix}/imported:1`
      const labels = { 'berth.kind': 'image', note: `a "b" $c \\d ${prefix}` }
      const id = await runtime.importImage(await busyboxRootfs(), { tag, labels, env: {}, cmd: ['sh'] })
      const found = await runtime.findImage(tag)
      t.equal(found?.id, id)
      t.match(found, { tags: [tag], labels, has_command: true, exposed_ports: [] })
      t.equal((await runtime.findImage(id))?.id, id)
      t.same(
        (await runtime.listImages({ note: labels.note })).map((image) => image.id),
        [id],
      )
      await runtime.removeImage(tag)
      t.equal(await runtime.findImage(tag), undefined)
      await t.resolves(runtime.removeImage(tag), 'removing an absent one is fine')
    },
  )

  each('an image of another node is not listed', async (t, { runtime, stranger, prefix }) => {
    const tag = `${prefix}/foreign:1`
    await stranger.importImage(await busyboxRootfs(), { tag, labels: { owner: prefix }, env: {} })
    t.same(await runtime.listImages({ owner: prefix }), [])
    await stranger.removeImage(tag)
  })

  each(
    'an import that breaks off leaves no image and throws what broke it',
    async (t, { runtime, prefix }) => {
      const rootfs = await busyboxRootfs()
      rootfs.once('data', () => rootfs.destroy(new Error('the disk is on fire')))
      const spec = { tag: `${prefix}/broken:1`, labels: {}, env: {} }
      await t.rejects(runtime.importImage(rootfs, spec), { message: 'the disk is on fire' })
      t.equal(await runtime.findImage(spec.tag), undefined)
    },
  )

  each('an image that a container uses is not removed', async (t, harness) => {
    await run(harness, 'user')
    await t.rejects(harness.runtime.removeImage(harness.image), { code: 'CONFLICT' })
  })
}

function transfers(each: Each): void {
  each(
    'a pushed image comes back by its digest after the engine has lost it, and no name of the registry stays',
    async (t, harness) => {
      const { runtime, prefix } = harness
      const { host, tokenFor, repository } = await openImageRegistry(t)
      const token = tokenFor(['pull', 'push'])
      const tag = `${prefix}/pushed:1`
      const rootfs = await busyboxRootfs()
      const id = await runtime.importImage(rootfs, { tag, labels: { owner: prefix }, env: {}, cmd: ['sh'] })
      const place = { host, repository, token }
      const { digest } = await runtime.pushImage(tag, { ...place, tag: 'release-1' }, patience())
      t.match(digest, /^sha256:[0-9a-f]{64}$/)
      t.same(await runtime.pushImage(tag, { ...place, tag: 'release-1' }, patience()), { digest }, 'again')
      t.same((await runtime.findImage(id))?.tags, [tag])
      await runtime.removeImage(tag)
      t.equal(await runtime.findImage(id), undefined)
      const from = { host, repository, token: tokenFor(['pull']), digest }
      const pulled = await runtime.pullImage(from, tag, patience())
      t.match(pulled, { id, tags: [tag], has_command: true })
      t.match(pulled.labels, { owner: prefix })
      t.same(await runtime.pullImage(from, `${prefix}/pushed:2`, patience()).then((each) => each.id), id)
      for (const each of [tag, `${prefix}/pushed:2`]) await runtime.removeImage(each)
      t.equal(await runtime.findImage(id), undefined, 'with its last name it goes')
    },
  )

  each('what the registry refuses or lacks fails with its words', async (t, { runtime, prefix, image }) => {
    const { host, tokenFor, repository } = await openImageRegistry(t)
    const to = { host, repository, tag: 'v1' }
    await t.rejects(
      runtime.pushImage(image, { ...to, token: tokenFor(['pull']) }, patience()),
      TransferFailed,
    )
    await t.rejects(runtime.pushImage(`${prefix}/none:1`, { ...to, token: 'x' }, patience()), {
      code: 'NOT_FOUND',
    })
    const absent = { host, repository, token: tokenFor(['pull']), digest: `sha256:${'0'.repeat(64)}` }
    await t.rejects(runtime.pullImage(absent, `${prefix}/absent:1`, patience()), TransferFailed)
    await t.rejects(
      runtime.pullImage({ ...absent, host: '127.0.0.1:1' }, `${prefix}/absent:1`, patience()),
      TransferFailed,
      'nobody listens there',
    )
    t.equal(await runtime.findImage(`${prefix}/absent:1`), undefined)
    t.same((await runtime.findImage(image))?.tags.length, 1, 'no name of the registry stays')
  })
}

/** Berth's own registry on a real port, as the engine meets it. */
async function openImageRegistry(t: Test) {
  const dataDir = mkdtempSync(join(tmpdir(), 'berth-transfers-'))
  const api = await openRegistryApi({ dataDir })
  t.teardown(async () => {
    await api.close()
    rmSync(dataDir, { recursive: true, force: true })
  })
  const repository = `${PROJECT}/web`
  return {
    host: api.host,
    repository,
    tokenFor: (actions: ('pull' | 'push')[]) => api.registry.images.grant(repository, actions, 'a service'),
  }
}

async function buildOf(harness: RuntimeHarness, kind: 'succeeds' | 'fails' | 'hangs'): Promise<BuildSpec> {
  return {
    ...(await harness.build(kind)),
    build_args: {},
    labels: { 'berth.service': harness.prefix },
    tag: `${harness.prefix}/built:${kind}`,
    memory_bytes: 256 * 1024 * 1024,
    cpu_millis: 1000,
  }
}

function builds(each: Each): void {
  each('a build says what it does, and its image carries its tag and labels', async (t, harness) => {
    const lines: BuildLine[] = []
    const spec = await buildOf(harness, 'succeeds')
    const { image_id } = await harness.runtime.buildImage(spec, (line) => lines.push(line), patience())
    t.match(lines, [{ stream: /.*/, line: /.*/ }])
    t.ok(lines.some(({ line, stream }) => stream === 'stdout' && line === 'built it'))
    const image = await harness.runtime.findImage(spec.tag)
    t.equal(image?.id, image_id)
    t.match(image?.labels, { 'berth.service': harness.prefix })
    t.ok(spec.context.destroyed)
  })

  each('a build that fails says why and leaves no image', async (t, harness) => {
    const spec = await buildOf(harness, 'fails')
    const failure = await harness.runtime
      .buildImage(spec, () => {}, patience())
      .catch((error: unknown) => error)
    t.type(failure, BuildFailed)
    t.match((failure as Error).message, /exit code 3/)
    t.equal(await harness.runtime.findImage(spec.tag), undefined)
    t.ok(spec.context.destroyed)
  })

  each('a build that is cancelled ends with the reason and leaves no image', async (t, harness) => {
    const cancel = new AbortController()
    const spec = await buildOf(harness, 'hangs')
    const building = harness.runtime.buildImage(
      spec,
      ({ line }) => line === 'waiting' && cancel.abort(new Error('superseded')),
      cancel.signal,
    )
    await t.rejects(building, { message: 'superseded' })
    t.equal(await harness.runtime.findImage(spec.tag), undefined)
  })

  // What is out of bounds is tried on engines that nobody shares: test/runtime/build-cache.test.ts.
  each('a build cache that is within its bounds stays', async (t, harness) => {
    await harness.runtime.buildImage(await buildOf(harness, 'succeeds'), () => {}, patience())
    const wide = { max_bytes: 4096 * 1024 ** 3, unused_for_seconds: 3650 * 86_400 }
    t.same(await harness.runtime.pruneBuildCache(wide), { reclaimed_bytes: 0 })
  })
}

function containers(each: Each): void {
  each(
    'a container is made once, however often and however concurrently it is asked for',
    async (t, harness) => {
      const spec = specOf(harness, 'one')
      await harness.runtime.ensureNetwork({ name: spec.network, labels: {} })
      const ids = await Promise.all([1, 2, 3].map(() => harness.runtime.ensureContainer(spec)))
      ids.push(await harness.runtime.ensureContainer(structuredClone(spec)))
      t.equal(new Set(ids).size, 1)
      t.match(await harness.runtime.inspectContainer(spec.name), {
        id: ids[0],
        phase: 'created',
        exit_code: null,
      })
    },
  )

  each('a container whose specification has changed is replaced, also while it runs', async (t, harness) => {
    const spec = await run(harness, 'changing')
    const before = await harness.runtime.inspectContainer(spec.name)
    const id = await harness.runtime.ensureContainer({ ...spec, env: { GREETING: 'goodbye' } })
    t.not(id, before?.id)
    t.match(await harness.runtime.inspectContainer(spec.name), { id, phase: 'created' })
  })

  each(
    'a container that has exited is kept by ensureContainer and can be started again',
    async (t, harness) => {
      const spec = await run(harness, 'again', { exit: 0 })
      const first = await untilPhase(harness, spec.name, 'exited')
      t.equal(await harness.runtime.ensureContainer(spec), first.id)
      await harness.runtime.startContainer(spec.name)
      await untilPhase(harness, spec.name, 'exited')
    },
  )

  each('starting is idempotent, and gives a running container an address', async (t, harness) => {
    const spec = await run(harness, 'up')
    await harness.runtime.startContainer(spec.name)
    const info = await harness.runtime.inspectContainer(spec.name)
    t.match(info, { phase: 'running', exit_code: null, finished_at: null, error: null, image: spec.image })
    t.match(info?.address, /^\d+\.\d+\.\d+\.\d+$/)
    t.match(info?.started_at, /^\d{4}-\d\d-\d\dT/)
    t.match(info?.labels, { 'berth.service': harness.prefix, 'berth.replica': '0' })
  })

  each('an image or container that is absent is NOT_FOUND to those that need it', async (t, harness) => {
    const spec = specOf(harness, 'absent')
    await harness.runtime.ensureNetwork({ name: spec.network, labels: {} })
    await t.rejects(harness.runtime.ensureContainer({ ...spec, image: `${harness.prefix}/no:1` }), {
      code: 'NOT_FOUND',
    })
    await t.rejects(harness.runtime.startContainer(spec.name), { code: 'NOT_FOUND' })
    t.equal(await harness.runtime.inspectContainer(spec.name), undefined)
  })

  each('a container whose network is gone is refused at its start, with the reason', async (t, harness) => {
    const spec = specOf(harness, 'homeless')
    await harness.runtime.ensureContainer(spec)
    const refusal = await harness.runtime.startContainer(spec.name).catch((error: unknown) => error)
    t.type(refusal, ContainerRefused)
    t.match((refusal as Error).message, /network .* not found/)
  })

  each('containers are listed by their labels, whatever their phase', async (t, harness) => {
    const up = await run(harness, 'up')
    const down = await run(harness, 'down', { exit: 1 })
    await untilPhase(harness, down.name, 'exited')
    const listed = await harness.runtime.listContainers({ 'berth.service': harness.prefix })
    t.same(listed.map(({ name }) => name).toSorted(), [down.name, up.name].toSorted())
    t.same(
      await harness.runtime.listContainers({ 'berth.service': harness.prefix, 'berth.replica': '7' }),
      [],
    )
  })

  each("another node's container is invisible and left alone", async (t, harness) => {
    const spec = await run(harness, 'mine')
    t.same(await harness.stranger.listContainers({ 'berth.service': harness.prefix }), [])
    t.equal(await harness.stranger.inspectContainer(spec.name), undefined)
    await harness.stranger.stopContainer(spec.name, 1)
    await harness.stranger.removeContainer(spec.name)
    await t.rejects(harness.stranger.startContainer(spec.name), { code: 'NOT_FOUND' })
    await t.rejects(harness.stranger.ensureContainer(spec), { code: 'CONFLICT' })
    t.equal((await harness.runtime.inspectContainer(spec.name))?.phase, 'running')
  })
}

function ends(each: Each): void {
  each('a container that exits keeps its code and loses its address', async (t, harness) => {
    const spec = await run(harness, 'failing', { exit: 7 })
    const info = await untilPhase(harness, spec.name, 'exited')
    t.match(info, { exit_code: 7, address: null, oom_killed: false })
    t.match(info.finished_at, /^\d{4}-\d\d-\d\dT/)
  })

  each('stopping sends SIGTERM, and is fine for what is stopped or absent', async (t, harness) => {
    const spec = await run(harness, 'obedient')
    await harness.runtime.stopContainer(spec.name, 30)
    t.match(await harness.runtime.inspectContainer(spec.name), { phase: 'exited', exit_code: 143 })
    await harness.runtime.stopContainer(spec.name, 30)
    await harness.runtime.stopContainer(`${harness.prefix}-absent`, 30)
  })

  each('a container that ignores SIGTERM is killed after the grace period', async (t, harness) => {
    const spec = await run(harness, 'stubborn', {
      sigterm: 'ignore',
      lines: [{ stream: 'stdout', line: 'ready' }],
    })
    for await (const { line } of harness.runtime.followLogs(spec.name, { follow: true }, patience()))
      if (line === 'ready') break
    await harness.runtime.stopContainer(spec.name, 1)
    t.match(await harness.runtime.inspectContainer(spec.name), { phase: 'exited', exit_code: 137 })
  })

  each('removing takes away a running container, and is fine for an absent one', async (t, harness) => {
    const spec = await run(harness, 'doomed')
    await Promise.all([1, 2].map(() => harness.runtime.removeContainer(spec.name)))
    t.equal(await harness.runtime.inspectContainer(spec.name), undefined)
    await harness.runtime.removeContainer(spec.name)
  })
}

const TALK: Program = {
  lines: [
    { stream: 'stdout', line: 'one' },
    { stream: 'stderr', line: 'two' },
    { stream: 'stdout', line: '' },
    { stream: 'stdout', line: 'three  ' },
  ],
  exit: 0,
}

/** On one stream: two streams are not in order among each other. */
const COUNT: Program = {
  lines: ['one', 'two', 'three', 'four'].map((line) => ({ stream: 'stdout', line })),
  exit: 0,
}

const linesOf = (chunks: LogChunk[]): string[] => chunks.map(({ line }) => line)

function logs(each: Each): void {
  each(
    'output is given line by line with stream and time, and ends with the container',
    async (t, harness) => {
      const spec = await run(harness, 'talker', TALK)
      const chunks = await collect(harness.runtime.followLogs(spec.name, { follow: true }, patience()))
      t.same(linesOf(chunks).toSorted(), ['', 'one', 'three  ', 'two'])
      t.equal(chunks.find(({ line }) => line === 'two')?.stream, 'stderr')
      t.equal(chunks.find(({ line }) => line === 'one')?.stream, 'stdout')
      t.ok(chunks.every(({ ts, partial }) => /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z$/.test(ts) && !partial))
    },
  )

  each('output can be read from a line on, that line included, or only its end', async (t, harness) => {
    const spec = await run(harness, 'counter', COUNT)
    await untilPhase(harness, spec.name, 'exited')
    const read = (options: { since?: string; tail?: number }) =>
      collect(harness.runtime.followLogs(spec.name, { follow: false, ...options }, patience()))
    const all = await read({})
    t.same(linesOf(all), ['one', 'two', 'three', 'four'])
    const [, , third] = all
    t.same(await read({ since: third?.ts ?? '' }), all.slice(2))
    t.same(await read({ tail: 1 }), all.slice(3))
    t.same(await read({ since: '2999-01-01T00:00:00Z' }), [])
  })

  each('following a quiet container ends without error when it is cancelled', async (t, harness) => {
    const spec = await run(harness, 'quiet', { lines: [{ stream: 'stdout', line: 'hello' }] })
    const cancel = new AbortController()
    const seen: string[] = []
    for await (const { line } of harness.runtime.followLogs(spec.name, { follow: true }, cancel.signal)) {
      seen.push(line)
      cancel.abort(new Error('enough'))
    }
    t.same(seen, ['hello'])
    t.same(await collect(harness.runtime.followLogs(spec.name, { follow: true }, cancel.signal)), [])
  })

  each(
    'following a container that is absent, or is removed meanwhile, ends without error',
    async (t, harness) => {
      t.same(
        await collect(harness.runtime.followLogs(`${harness.prefix}-absent`, { follow: true }, patience())),
        [],
      )
      const spec = await run(harness, 'doomed', { lines: [{ stream: 'stdout', line: 'last words' }] })
      const seen: string[] = []
      for await (const { line } of harness.runtime.followLogs(spec.name, { follow: true }, patience())) {
        seen.push(line)
        await harness.runtime.removeContainer(spec.name)
      }
      t.same(seen, ['last words'])
    },
  )
}

function events(each: Each): void {
  each('events tell of start, end and removal, of this node only, from the call on', async (t, harness) => {
    const cancel = new AbortController()
    const watched = harness.runtime.watchEvents(cancel.signal)
    const foreign = collect(harness.stranger.watchEvents(cancel.signal))
    const spec = await run(harness, 'star', { exit: 5 })
    await untilPhase(harness, spec.name, 'exited')
    await harness.runtime.removeContainer(spec.name)
    const seen = []
    for await (const event of watched) {
      seen.push(event)
      if (event.kind === 'destroy') cancel.abort()
    }
    t.same(
      seen.map(({ kind, exit_code }) => [kind, exit_code]),
      [
        ['start', null],
        ['die', 5],
        ['destroy', null],
      ],
    )
    t.ok(seen.every(({ container_name }) => container_name === spec.name))
    t.match(seen[0]?.labels, { 'berth.service': harness.prefix })
    t.same(await foreign, [])
  })
}
