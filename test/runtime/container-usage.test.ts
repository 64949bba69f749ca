import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { test } from 'tap'
import { readContainerUsage } from '../../src/runtime/container-usage.ts'
import { dockerHarness } from '../support/docker-harness.ts'

const ID = 'a'.repeat(64)

async function tree(root: string, files: Record<string, string>): Promise<void> {
  for (const [path, text] of Object.entries(files)) {
    await mkdir(dirname(join(root, path)), { recursive: true })
    await writeFile(join(root, path), text)
  }
}

for (const [driver, folder] of [
  ['cgroupfs', `docker/${ID}`],
  ['systemd', `system.slice/docker-${ID}.scope`],
] as const) {
  void test(`usage is read from cgroup v2 with the driver ${driver}`, async (t) => {
    const root = t.testdir()
    await tree(root, {
      [`${folder}/cpu.stat`]: 'usage_usec 1234567\nuser_usec 1000000\n',
      [`${folder}/memory.current`]: '5000\n',
      [`${folder}/memory.stat`]: 'anon 3000\ninactive_file 1500\n',
    })
    t.same(await readContainerUsage(ID, root), { cpu_us: 1_234_567, memory_bytes: 3500 })
  })

  void test(`usage is read from cgroup v1 with the driver ${driver}`, async (t) => {
    const root = t.testdir()
    await tree(root, {
      [`cpuacct/${folder}/cpuacct.usage`]: '1234567890\n',
      [`memory/${folder}/memory.usage_in_bytes`]: '5000\n',
      [`memory/${folder}/memory.stat`]: 'inactive_file 1\ntotal_inactive_file 6000\n',
    })
    t.same(await readContainerUsage(ID, root), { cpu_us: 1_234_568, memory_bytes: 0 })
  })
}

void test('the usage of a real container rises, and ends with it', async (t) => {
  const { runtime, prefix, image, system } = await dockerHarness(t)
  const name = `${prefix}-busy`
  await runtime.ensureNetwork({ name: `${prefix}-net`, labels: {} })
  const id = await runtime.ensureContainer({
    name,
    image,
    command: ['sh', '-c', 'while :; do :; done'],
    env: {},
    labels: {},
    network: `${prefix}-net`,
    aliases: [],
    cpu_millis: 200,
    memory_bytes: 64 * 1024 * 1024,
    pids: 16,
    read_only: false,
    stop_grace_seconds: 0,
  })
  t.equal(await runtime.readUsage(id), undefined, 'it does not run')
  await runtime.startContainer(name)
  const first = await runtime.readUsage(id)
  t.ok(first && first.memory_bytes > 0 && first.memory_bytes < 64 * 1024 * 1024, JSON.stringify(first))
  let later = first
  for (let tries = 0; tries < 200 && (later?.cpu_us ?? 0) < (first?.cpu_us ?? 0) + 20_000; tries += 1) {
    await system.sleep(50)
    later = await runtime.readUsage(id)
  }
  t.ok((later?.cpu_us ?? 0) >= (first?.cpu_us ?? 0) + 20_000, `${first?.cpu_us} then ${later?.cpu_us}`)
  await runtime.removeContainer(name)
  t.equal(await runtime.readUsage(id), undefined)
})
