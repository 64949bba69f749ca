import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'
import { test } from 'tap'
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

void test('builds that run at once share the sum of their bounds, and without one there is no bound (cgroup v2)', async (t) => {
  const root = await tree(t, ['cgroup.controllers', 'docker/buildkit/memory.swap.max'])
  const read = (name: string) => readFile(join(root, 'docker/buildkit', name), 'utf8')
  const bounds = createBuildBounds({ cgroupVersion: '2', cgroupDriver: 'cgroupfs', root })
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
  const bounds = createBuildBounds({ cgroupVersion: '1', cgroupDriver: 'cgroupfs', root })
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

void test('where the cgroup is not to be had, a build runs without bounds and it is said', async (t) => {
  const share = { memory_bytes: MIB, cpu_millis: 100 }
  const missing = createBuildBounds({ cgroupVersion: '2', cgroupDriver: 'cgroupfs', root: await tree(t, []) })
  t.equal((await missing.claim(share)).bounded, false)
  const systemd = createBuildBounds({
    cgroupVersion: '2',
    cgroupDriver: 'systemd',
    root: await tree(t, ['cgroup.controllers']),
  })
  t.equal((await systemd.claim(share)).bounded, false)
})
