import { test } from 'tap'
import { createSystem } from '../../src/lib/system.ts'
import { createDockerRuntime } from '../../src/runtime/docker-runtime.ts'
import { createFakeRuntime } from '../../src/runtime/fake-runtime.ts'
import type { Runtime } from '../../src/runtime/runtime.ts'
import { contextOf } from '../support/busybox-image.ts'
import { startOwnEngine } from '../support/own-engine.ts'
import { waitFor } from '../support/wait.ts'

const MIB = 1024 ** 2
const WIDE = { max_bytes: 1024 * MIB, unused_for_seconds: 86_400 }
/** The first stage is in no image: only the cache keeps it. */
const DOCKERFILE = 'FROM scratch AS data\nCOPY data /\nFROM scratch\nCOPY --from=data data /\nENV A=b\n'

/** Builds, and answers whether a step came out of the cache. */
async function build(runtime: Runtime, data: string): Promise<boolean> {
  const lines: string[] = []
  const spec = {
    context: await contextOf({ Dockerfile: DOCKERFILE, data }),
    dockerfile: 'Dockerfile',
    build_args: {},
    labels: {},
    tag: 'build-cache/test:1',
    memory_bytes: 512 * MIB,
    cpu_millis: 1000,
  }
  await runtime.buildImage(spec, ({ line }) => lines.push(line), AbortSignal.timeout(120_000))
  return lines.some((line) => line.endsWith('cached'))
}

test('the engine keeps what is within the bounds, and each bound is kept by itself', async (t) => {
  const system = createSystem()
  const engine = await startOwnEngine(t)
  const runtime = createDockerRuntime({ socketPath: engine.socket, nodeId: 'cache', system })
  const data = system.randomBytes(MIB).toString('hex')
  t.notOk(await build(runtime, data))
  t.same(await runtime.pruneBuildCache(WIDE), { reclaimed_bytes: 0 })
  t.ok(await build(runtime, data), 'what is within the bounds is used again')

  const { reclaimed_bytes } = await runtime.pruneBuildCache({ ...WIDE, max_bytes: 1 })
  t.ok(reclaimed_bytes >= 2 * MIB, String(reclaimed_bytes))
  t.ok(await runtime.findImage('build-cache/test:1'), 'the image stays')
  // Its layers count as cache for as long as it is there.
  await runtime.removeImage('build-cache/test:1')
  await runtime.pruneBuildCache({ ...WIDE, max_bytes: 1 })
  t.notOk(await build(runtime, data), 'what was too much is gone, though it was just used')

  let old = 0
  await waitFor('what was not used for a second is gone', async () => {
    old += (await runtime.pruneBuildCache({ ...WIDE, unused_for_seconds: 1 })).reclaimed_bytes
    return old >= 2 * MIB
  })
  t.ok(await runtime.findImage('build-cache/test:1'))
})

test('an engine with the classic builder has no such cache', async (t) => {
  const system = createSystem()
  const engine = await startOwnEngine(t)
  const options = { socketPath: engine.socket, nodeId: 'cache', system }
  const buildKit = createDockerRuntime(options)
  const data = system.randomBytes(64).toString('hex')
  await build(buildKit, data)
  const classic = createDockerRuntime({ ...options, classicBuilder: true })
  t.same(await classic.pruneBuildCache({ ...WIDE, max_bytes: 1 }), { reclaimed_bytes: 0 })
  t.ok(await build(buildKit, data), "another program's cache is left alone")
})

test('in memory: first what is too old, then what was used longest ago', async (t) => {
  let now = 0
  const system = { ...createSystem(), now: () => now }
  const { runtime, engine } = createFakeRuntime({ system })
  for (const [at, data] of ['one', 'two', 'three', 'four'].entries()) {
    now = at * 60_000
    await build(runtime, data)
  }
  const sizes = [...engine.buildCache.values()].map(({ size_bytes }) => size_bytes)
  t.same(await runtime.pruneBuildCache({ ...WIDE, unused_for_seconds: 150 }), { reclaimed_bytes: sizes[0] })
  const max_bytes = (sizes[2] ?? 0) + (sizes[3] ?? 0)
  t.same(await runtime.pruneBuildCache({ ...WIDE, max_bytes }), { reclaimed_bytes: sizes[1] })
  t.same(await runtime.pruneBuildCache({ ...WIDE, max_bytes }), { reclaimed_bytes: 0 })
})
