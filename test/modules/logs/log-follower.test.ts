import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Test, test } from 'tap'
import { createSystem } from '../../../src/lib/system.ts'
import { createLogFollower, type FollowedContainer } from '../../../src/modules/logs/log-follower.ts'
import type { ServiceLine } from '../../../src/modules/logs/log-schema.ts'
import { createServiceLogs } from '../../../src/modules/logs/service-logs.ts'
import { createFakeRuntime } from '../../../src/runtime/fake-runtime.ts'
import type { ContainerSpec, Runtime } from '../../../src/runtime/runtime.ts'
import { waitFor } from '../../support/wait.ts'

const SERVICE = '01900000-0000-7000-8000-00000000a001'
const MIB = 1024 ** 2
const system = createSystem()

function specOf(name: string): ContainerSpec {
  return {
    name,
    image: 'app:1',
    env: {},
    labels: {},
    network: 'net',
    aliases: [],
    cpu_millis: 100,
    memory_bytes: 64 * MIB,
    pids: 10,
    read_only: false,
    stop_grace_seconds: 1,
  }
}

function followed(name: string, replica = 0, deployment = 'd1'): FollowedContainer {
  return { container_name: name, service_id: SERVICE, deployment_id: deployment, replica_index: replica }
}

/** An engine with running containers. */
async function openEngine(...names: string[]) {
  const fake = createFakeRuntime({ system })
  fake.controls.addImage('app:1')
  await fake.runtime.ensureNetwork({ name: 'net', labels: {} })
  for (const name of names) {
    await fake.runtime.ensureContainer(specOf(name))
    await fake.runtime.startContainer(name)
  }
  return fake
}

/** One life of the daemon's log follower. */
function openFollower(
  t: Test,
  runtime: Runtime,
  containers: FollowedContainer[],
  given: { dataDir?: string; secrets?: () => Promise<string[]> } = {},
) {
  const dataDir = given.dataDir ?? mkdtempSync(join(tmpdir(), 'berth-follow-'))
  const errors: unknown[] = []
  const logs = createServiceLogs({
    dataDir,
    system,
    maxBytes: 100 * MIB,
    onError: (error) => void errors.push(error),
  })
  const follower = createLogFollower({
    runtime,
    logs,
    system,
    listContainers: () => containers,
    secretsOf: given.secrets ?? (async () => []),
    onError: (error) => void errors.push(error),
  })
  const stop = new AbortController()
  const end = async (): Promise<void> => {
    stop.abort()
    await follower.stopped()
    await logs.closeAll()
  }
  t.teardown(async () => {
    await end()
    rmSync(dataDir, { recursive: true, force: true })
  })
  const lines = async (): Promise<ServiceLine[]> => {
    const log = await logs.open(SERVICE)
    const found: ServiceLine[] = []
    for (let batch = await log?.readAfter(0); batch; batch = await log?.readAfter(batch.last)) {
      found.push(...batch.lines.map((line) => JSON.parse(line) as ServiceLine))
    }
    return found
  }
  return {
    dataDir,
    errors,
    lines,
    end,
    run: () => follower.run(stop.signal),
    /** Waits until the log has so many lines. */
    reach: (count: number) =>
      waitFor(`${count} lines`, async () => {
        const found = await lines()
        return found.length >= count && found
      }),
  }
}

test('the output of replicas is stored from the first line on, with where it comes from', async (t) => {
  const { runtime, controls } = await openEngine('a', 'b')
  controls.print('a', 'before anyone looked')
  const follower = openFollower(t, runtime, [followed('a', 0), followed('b', 1, 'd2')])
  await follower.run()
  await follower.reach(1)
  controls.print('b', 'oops', 'stderr')
  t.match(await follower.reach(2), [
    { seq: 1, stream: 'stdout', replica: 0, deployment_id: 'd1', line: 'before anyone looked' },
    { seq: 2, stream: 'stderr', replica: 1, deployment_id: 'd2', line: 'oops' },
  ])
})

test('secrets are masked, and nothing is stored as long as they are not known', async (t) => {
  const { runtime, controls } = await openEngine('a')
  controls.print('a', 'password is hunter22')
  let isSealed = true
  const secrets = async (): Promise<string[]> => {
    if (isSealed) throw new Error('the key is missing')
    return ['hunter22']
  }
  const follower = openFollower(t, runtime, [followed('a')], { secrets })
  await follower.run()
  await waitFor('the failure', () => follower.errors.length > 0)
  t.same(await follower.lines(), [])
  isSealed = false
  await follower.run()
  t.match(await follower.reach(1), [{ line: 'password is ***' }])
})

test('over restarts of the daemon no line is lost or doubled', async (t) => {
  const { runtime, controls } = await openEngine('a', 'b')
  const containers = [followed('a', 0), followed('b', 1)]
  let printed = 0
  const print = (count: number): void => {
    for (let index = 0; index < count; index += 1) {
      printed += 1
      controls.print(
        printed % 3 === 0 ? 'b' : 'a',
        `line ${printed}`,
        printed % 4 === 0 ? 'stderr' : 'stdout',
      )
    }
  }
  let dataDir: string | undefined
  for (let life = 0; life < 6; life += 1) {
    const follower = openFollower(t, runtime, containers, dataDir === undefined ? {} : { dataDir })
    dataDir = follower.dataDir
    print(50)
    await follower.run()
    // Not always up to date when it ends.
    if (life % 2 === 0) await follower.reach(printed)
    print(50)
    await follower.end()
    print(50)
  }
  const last = openFollower(t, runtime, containers, dataDir === undefined ? {} : { dataDir })
  await last.run()
  const lines = await last.reach(printed)
  for (const replica of [0, 1]) {
    for (const stream of ['stdout', 'stderr']) {
      const numbers = lines
        .filter((line) => line.replica === replica && line.stream === stream)
        .map(({ line }) => Number(line.split(' ')[1]))
      t.same(
        numbers,
        numbers.toSorted((a, b) => a - b),
        'in order',
      )
    }
  }
  t.equal(new Set(lines.map(({ line }) => line)).size, printed)
  t.equal(lines.length, printed)
})

test('an engine that goes away and comes back costs no line', async (t) => {
  const { runtime, controls } = await openEngine('a')
  const follower = openFollower(t, runtime, [followed('a')])
  await follower.run()
  controls.print('a', 'one')
  await follower.reach(1)
  controls.setAway(true)
  controls.print('a', 'two')
  await follower.run()
  controls.setAway(false)
  await follower.run()
  t.match(await follower.reach(2), [{ line: 'one' }, { line: 'two' }])
  t.same(follower.errors, [], 'that is for others to tell')
})

test('a container that ends and is started again goes on in the log', async (t) => {
  const { runtime, controls } = await openEngine('a')
  const follower = openFollower(t, runtime, [followed('a')])
  await follower.run()
  for (let life = 1; life <= 3; life += 1) {
    controls.print('a', `life ${life}`)
    controls.exit('a', 1)
    await follower.reach(life)
    await runtime.startContainer('a')
    await follower.run()
  }
  t.same(
    (await follower.lines()).map(({ line }) => line),
    ['life 1', 'life 2', 'life 3'],
  )
})

test('the last words of a container that is not wanted any more are still read', async (t) => {
  const { runtime, controls } = await openEngine('a')
  const containers = [followed('a')]
  const follower = openFollower(t, runtime, containers)
  await follower.run()
  controls.print('a', 'serving')
  await follower.reach(1)
  containers.length = 0
  await follower.run()
  controls.print('a', 'shutting down')
  controls.exit('a', 143)
  t.match(await follower.reach(2), [{ line: 'serving' }, { line: 'shutting down' }])
})

test('a container that says very much is kept whole, at a pace', async (t) => {
  const { runtime, controls } = await openEngine('a')
  const follower = openFollower(t, runtime, [followed('a')])
  for (let index = 0; index < 20_000; index += 1) controls.print('a', `line ${index}`)
  const startedAt = system.monotonic()
  await follower.run()
  const lines = await follower.reach(20_000)
  t.equal(lines.length, 20_000)
  t.ok(system.monotonic() - startedAt > 500, 'the rest of the daemon had its turns')
})

test('stopping does not wait for the next look at a container that has ended', async (t) => {
  const { runtime, controls } = await openEngine('a')
  const follower = openFollower(t, runtime, [followed('a')])
  controls.print('a', 'one')
  controls.exit('a', 0)
  await follower.run()
  await follower.reach(1)
  await follower.end()
  t.pass()
})

test('stopping does not wait for a disk that refuses the lines', async (t) => {
  const { runtime, controls } = await openEngine('a')
  const follower = openFollower(t, runtime, [followed('a')])
  t.same(await follower.lines(), [])
  writeFileSync(join(follower.dataDir, 'logs'), 'in the way')
  controls.print('a', 'one')
  await follower.run()
  await waitFor('the disk has refused', () => follower.errors.length > 0)
  await follower.end()
  rmSync(join(follower.dataDir, 'logs'))
  t.same(await follower.lines(), [])
})
