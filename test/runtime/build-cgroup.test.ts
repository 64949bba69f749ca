import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import type { Test } from 'tap'
import { test } from 'tap'
import { createSystem } from '../../src/lib/system.ts'
import { createBuildBounds } from '../../src/runtime/build-cgroup.ts'

async function tree(t: Test, files: string[]): Promise<string> {
  const root = await mkdtemp(join(tmpdir(), 'berth-cgroup-'))
  t.teardown(() => rm(root, { recursive: true }))
  for (const file of files) {
    await mkdir(join(root, file, '..'), { recursive: true })
    await writeFile(join(root, file), '')
  }
  return root
}

const MIB = 1024 ** 2
const system = createSystem()

void test('builds that run at once share the sum of their bounds, and without one there is no bound (cgroup v2)', async (t) => {
  const root = await tree(t, ['cgroup.controllers', 'docker/buildkit/memory.swap.max'])
  const read = (name: string) => readFile(join(root, 'docker/buildkit', name), 'utf8')
  const bounds = createBuildBounds({ cgroupVersion: '2', cgroupDriver: 'cgroupfs', system, root })
  const first = await bounds.claim({ memory_bytes: 100 * MIB, cpu_millis: 500 })
  t.equal(first.bounded, true)
  t.equal(await read('memory.max'), String(100 * MIB))
  t.equal(await read('cpu.max'), '50000 100000')
  t.equal(await read('memory.swap.max'), '0')
  t.equal(await readFile(join(root, 'docker/cgroup.subtree_control'), 'utf8'), '+memory +cpu')
  const second = await bounds.claim({ memory_bytes: 50 * MIB, cpu_millis: 1000 })
  t.equal(await read('memory.max'), String(150 * MIB))
  await first.release()
  t.equal(await read('memory.max'), String(50 * MIB))
  t.equal(await read('cpu.max'), '100000 100000')
  await second.release()
  t.equal(await read('memory.max'), 'max')
})

void test('each controller has a tree of its own (cgroup v1)', async (t) => {
  const root = await tree(t, [
    'memory/memory.limit_in_bytes',
    'memory/docker/buildkit/memory.memsw.limit_in_bytes',
    'cpu/tasks',
  ])
  const bounds = createBuildBounds({ cgroupVersion: '1', cgroupDriver: 'cgroupfs', system, root })
  const claim = await bounds.claim({ memory_bytes: 100 * MIB, cpu_millis: 1500 })
  t.equal(claim.bounded, true)
  t.equal(
    await readFile(join(root, 'memory/docker/buildkit/memory.limit_in_bytes'), 'utf8'),
    String(100 * MIB),
  )
  t.equal(
    await readFile(join(root, 'memory/docker/buildkit/memory.memsw.limit_in_bytes'), 'utf8'),
    String(100 * MIB),
  )
  t.equal(await readFile(join(root, 'cpu/docker/buildkit/cpu.cfs_quota_us'), 'utf8'), '150000')
  await claim.release()
  t.equal(await readFile(join(root, 'cpu/docker/buildkit/cpu.cfs_quota_us'), 'utf8'), '-1')
})

void test('daemons of one engine add up, and the share of one that was killed is forgotten', async (t) => {
  const root = await tree(t, ['cgroup.controllers'])
  const child = spawn('true', [])
  await once(child, 'exit')
  await mkdir(join(root, `docker/buildkit/berth-${process.ppid}-1-${10 * MIB}-100`), { recursive: true })
  await mkdir(join(root, `docker/buildkit/berth-${child.pid}-1-${70 * MIB}-100`), { recursive: true })
  const bounds = createBuildBounds({ cgroupVersion: '2', cgroupDriver: 'cgroupfs', system, root })
  const claim = await bounds.claim({ memory_bytes: 5 * MIB, cpu_millis: 100 })
  const limit = () => readFile(join(root, 'docker/buildkit/memory.max'), 'utf8')
  t.equal(await limit(), String(15 * MIB))
  await claim.release()
  t.equal(await limit(), String(10 * MIB))
})

void test('with the systemd driver each step is bounded soon after it begins', async (t) => {
  const root = await tree(t, ['system.slice/cgroup.subtree_control'])
  const bounds = createBuildBounds({ cgroupVersion: '2', cgroupDriver: 'systemd', system, root })
  const claim = await bounds.claim({ memory_bytes: 100 * MIB, cpu_millis: 500 })
  t.equal(claim.bounded, true)
  const step = join(root, 'system.slice', 'system.slice:docker:vei61xda2mcx24q33khh0wuuf')
  const container = join(root, 'system.slice', `docker-${'a'.repeat(64)}.scope`)
  for (const folder of [step, container]) {
    await mkdir(folder)
    await writeFile(join(folder, 'memory.max'), 'max\n')
  }
  const read = (folder: string) => readFile(join(folder, 'memory.max'), 'utf8')
  for (let attempt = 0; attempt < 200 && (await read(step)) === 'max\n'; attempt += 1) await system.sleep(50)
  t.equal(await read(step), String(100 * MIB))
  t.equal(await read(container), 'max\n')
  await claim.release()
})

void test('where the cgroup is not to be had, a build runs without bounds and it is said', async (t) => {
  const share = { memory_bytes: MIB, cpu_millis: 100 }
  for (const [cgroupVersion, cgroupDriver] of [
    ['2', 'cgroupfs'],
    ['1', 'cgroupfs'],
    ['2', 'systemd'],
    ['1', 'systemd'],
  ] as const) {
    const bounds = createBuildBounds({ cgroupVersion, cgroupDriver, system, root: await tree(t, []) })
    const claim = await bounds.claim(share)
    t.equal(claim.bounded, false)
    await claim.release()
  }
})
