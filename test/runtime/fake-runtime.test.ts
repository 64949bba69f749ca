import { createServer } from 'node:http'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { test } from 'tap'
import { createSystem } from '../../src/lib/system.ts'
import { createFakeRuntime } from '../../src/runtime/fake-runtime.ts'
import type { ContainerSpec } from '../../src/runtime/runtime.ts'

const system = createSystem()
const SPEC: ContainerSpec = {
  name: 'one',
  image: 'app:1',
  env: {},
  labels: {},
  network: 'net',
  aliases: [],
  cpu_millis: 100,
  memory_bytes: 1e8,
  pids: 10,
  read_only: false,
  stop_grace_seconds: 1,
}

async function prepared() {
  const fake = createFakeRuntime({ system })
  fake.controls.addImage('app:1')
  await fake.runtime.ensureNetwork({ name: 'net', labels: {} })
  await fake.runtime.ensureContainer(SPEC)
  return fake
}

void test('a verb that is made to fail fails that often, and counts', async (t) => {
  const { runtime, controls } = await prepared()
  controls.fail('startContainer', new Error('no'), 2)
  await t.rejects(runtime.startContainer('one'), { message: 'no' })
  await t.rejects(runtime.startContainer('one'), { message: 'no' })
  await runtime.startContainer('one')
  t.equal(controls.calls('startContainer'), 3)
})

void test('hooks run before and after the effect, and what they throw is thrown', async (t) => {
  const { runtime, controls } = await prepared()
  const phases: (string | undefined)[] = []
  const remove = controls.before(
    'startContainer',
    (name) => void phases.push(controls.container(String(name))?.phase),
  )
  controls.after('startContainer', (name) => {
    phases.push(controls.container(String(name))?.phase)
    throw new Error('after the fact')
  })
  await t.rejects(runtime.startContainer('one'), { message: 'after the fact' })
  t.same(phases, ['created', 'running'])
  remove()
  await t.rejects(runtime.startContainer('one'))
  t.equal(phases.length, 3)
})

for (const when of ['before', 'after'] as const) {
  void test(`a daemon that dies ${when} an effect never hears of it again, and the next one finds the world as it was`, async (t) => {
    const { runtime, controls, engine } = await prepared()
    const died = controls.dieAt('startContainer', when)
    let isSettled = false
    const settle = (): void => {
      isSettled = true
    }
    void runtime.startContainer('one').then(settle, settle)
    await died
    void runtime.inspectContainer('one').then(settle, settle)
    await system.sleep(20)
    t.equal(isSettled, false)
    const next = createFakeRuntime({ system, engine }).runtime
    t.equal((await next.inspectContainer('one'))?.phase, when === 'before' ? 'created' : 'running')
  })
}

void test('an engine that is away fails every verb and breaks streams, while its containers run on', async (t) => {
  const { runtime, controls } = await prepared()
  await runtime.startContainer('one')
  const events = runtime.watchEvents(AbortSignal.timeout(30_000))[Symbol.asyncIterator]()
  const following = runtime.followLogs('one', { follow: true }, AbortSignal.timeout(30_000))
  const logs = following[Symbol.asyncIterator]()
  const streams = [events.next(), logs.next()]
  await system.sleep(10)
  controls.setAway(true)
  for (const stream of streams) await t.rejects(async () => stream, { code: 'RUNTIME_UNAVAILABLE' })
  await t.rejects(runtime.listContainers({}), { code: 'RUNTIME_UNAVAILABLE' })
  controls.setAway(false)
  t.equal((await runtime.inspectContainer('one'))?.phase, 'running')
})

void test('a container can stand for a real server, exit, speak, and be removed by hand', async (t) => {
  const { runtime, controls } = await prepared()
  const server = createServer((_request, response) => response.end('real'))
  server.listen(0, '127.0.0.7')
  await once(server, 'listening')
  t.teardown(() => server.close())
  controls.program('app:1', ({ name }) => ({
    address: '127.0.0.7',
    lines: [{ stream: 'stdout', line: `I am ${name}` }],
  }))
  await runtime.startContainer('one')
  const info = await runtime.inspectContainer('one')
  const answer = await fetch(`http://${info?.address}:${(server.address() as AddressInfo).port}/`)
  t.equal(await answer.text(), 'real')
  controls.print('one', 'more', 'stderr')
  controls.exit('one', 137, true)
  t.match(await runtime.inspectContainer('one'), {
    phase: 'exited',
    exit_code: 137,
    oom_killed: true,
    address: null,
  })
  const lines = await Array.fromAsync(
    runtime.followLogs('one', { follow: false }, AbortSignal.timeout(30_000)),
  )
  t.same(
    lines.map(({ line }) => line),
    ['I am one', 'more'],
  )
  controls.removeByHand('one')
  t.equal(await runtime.inspectContainer('one'), undefined)
})

void test('a container that exits after a while does so, unless it was started anew', async (t) => {
  const { runtime, controls } = await prepared()
  controls.program('app:1', () => ({ exit: { code: 3, after_ms: 20 } }))
  // Timers of the fake keep no process alive.
  const alive = setInterval(() => {}, 1000)
  t.teardown(() => clearInterval(alive))
  await runtime.startContainer('one')
  t.equal((await runtime.inspectContainer('one'))?.phase, 'running')
  await Array.fromAsync(runtime.followLogs('one', { follow: true }, AbortSignal.timeout(30_000)))
  t.match(await runtime.inspectContainer('one'), { phase: 'exited', exit_code: 3 })
})

void test('a start that the engine refuses leaves the container with the reason', async (t) => {
  const { runtime, controls } = await prepared()
  controls.program('app:1', { refuse: 'exec format error' })
  await t.rejects(runtime.startContainer('one'), { name: 'ContainerRefused', message: 'exec format error' })
  t.match(await runtime.inspectContainer('one'), { phase: 'created', error: 'exec format error' })
})
