import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import type { Test } from 'tap'
import { test } from 'tap'
import type { ContainerSpec } from '../../src/runtime/runtime.ts'
import { busyboxRootfs } from '../support/busybox-image.ts'
import { dockerHarness, type DockerHarness } from '../support/docker-harness.ts'

const run = promisify(execFile)

async function output(
  t: Test,
  script: string,
  changes: Partial<ContainerSpec> = {},
  harness?: DockerHarness,
) {
  const { runtime, prefix, image, system } = harness ?? (await dockerHarness(t))
  const spec: ContainerSpec = {
    name: `${prefix}-probe-${system.randomBytes(3).toString('hex')}`,
    image,
    command: ['sh', '-c', script],
    env: {},
    labels: {},
    network: `${prefix}-net`,
    aliases: ['probe'],
    cpu_millis: 500,
    memory_bytes: 32 * 1024 * 1024,
    pids: 40,
    read_only: false,
    stop_grace_seconds: 5,
    ...changes,
  }
  await runtime.ensureNetwork({ name: spec.network, labels: {} })
  await runtime.ensureContainer(spec)
  await runtime.startContainer(spec.name)
  const lines: string[] = []
  const patience = AbortSignal.timeout(60_000)
  for await (const { line } of runtime.followLogs(spec.name, { follow: true }, patience)) lines.push(line)
  return { lines, info: await runtime.inspectContainer(spec.name), runtime, prefix, spec }
}

void test('a container has no new privileges, few capabilities and the default seccomp profile', async (t) => {
  const { lines } = await output(t, 'cat /proc/self/status')
  const status = Object.fromEntries(lines.map((line) => line.split(':\t')))
  t.equal(status.NoNewPrivs, '1')
  t.equal(status.Seccomp, '2')
  // chown, dac_override, fowner, fsetid, kill, setgid, setuid, net_bind_service (capabilities(7), linux/capability.h).
  const kept = [0, 1, 3, 4, 5, 6, 7, 10].reduce((mask, bit) => mask | (1 << bit), 0)
  for (const set of ['CapEff', 'CapPrm', 'CapBnd']) t.equal(Number.parseInt(status[set] ?? '', 16), kept, set)
})

void test('a container that wants more memory than its limit is killed', async (t) => {
  const { info } = await output(t, 'exec dd if=/dev/zero of=/dev/null bs=200M count=1')
  t.match(info, { phase: 'exited', exit_code: 137 })
})

void test('a container cannot make more processes than its limit', async (t) => {
  const { lines } = await output(t, 'for i in $(seq 100); do sleep 5 & done 2>&1; echo over; kill 0', {
    pids: 20,
  })
  t.ok(
    lines.some((line) => /can't fork|Resource temporarily unavailable/i.test(line)),
    lines.join('\n'),
  )
})

void test('a read-only container can write to /tmp and nowhere else', async (t) => {
  const script = 'touch /tmp/x && echo tmp; touch /y 2>/dev/null || echo refused'
  const { lines } = await output(t, script, { read_only: true })
  t.same(lines, ['tmp', 'refused'])
})

void test('a container is asked for more processors than there are without being refused', async (t) => {
  const { lines } = await output(t, 'echo fine', { cpu_millis: 64_000 })
  t.same(lines, ['fine'])
})

void test('a command that is not there ends with code 127 and a line that names it', async (t) => {
  const { lines, info } = await output(t, '', { command: ['no-such-program'] })
  t.match(info, { phase: 'exited', exit_code: 127 })
  t.match(lines.join('\n'), /no-such-program/)
})

void test('labels of an image do not pass for labels of its container', async (t) => {
  const harness = await dockerHarness(t)
  const { runtime, prefix } = harness
  const tag = `${prefix}/posing:1`
  const labels = { 'berth.service': 'someone-else', 'berth.replica': '3', flavour: 'plain' }
  await runtime.importImage(await busyboxRootfs(), { tag, labels, env: { PATH: '/bin' } })
  const { info } = await output(t, 'true', { image: tag, labels: { 'berth.replica': '0' } }, harness)
  t.match(info?.labels, { 'berth.replica': '0', flavour: 'plain' })
  t.notOk('berth.service' in (info?.labels ?? {}))
  t.same(await runtime.listContainers({ 'berth.service': 'someone-else' }), [])
})

void test("containers that people run are nobody's, whatever labels their image has", async (t) => {
  const harness = await dockerHarness(t)
  const { runtime, prefix } = harness
  const labels = { 'berth.kind': 'replica', 'berth.service': prefix }
  const spec = { ...(await idleSpec(harness)), labels, command: ['sleep', '600'] }
  await runtime.ensureNetwork({ name: spec.network, labels: {} })
  await runtime.ensureContainer(spec)
  // A committed container hands all of its labels on, those that the runtime adds too.
  const [committed, mine] = [`${prefix}/committed:1`, `${prefix}-mine`]
  const docker = async (...args: string[]): Promise<string> => (await run('docker', args)).stdout
  t.teardown(async () => {
    await docker('rm', '--force', mine)
    await docker('rmi', committed)
  })
  await docker('commit', spec.name, committed)
  await docker('create', '--name', mine, committed)
  t.match(await docker('inspect', '--format', '{{json .Config.Labels}}', mine), `"berth.node":"${prefix}"`)
  t.same(
    (await runtime.listContainers(labels)).map(({ name }) => name),
    [spec.name],
  )
  t.equal(await runtime.inspectContainer(mine), undefined)
  await runtime.removeContainer(mine)
  await t.rejects(runtime.ensureContainer({ ...spec, name: mine }), { code: 'CONFLICT' })
  t.match(await docker('ps', '--all', '--format', '{{.Names}}'), mine)
})

void test('replicas of a project find each other by service name, and by nothing outside their network', async (t) => {
  const harness = await dockerHarness(t)
  const { runtime, prefix } = harness
  const base = { command: ['sleep', '600'], aliases: ['db'] }
  await runtime.ensureNetwork({ name: `${prefix}-net`, labels: {} })
  const spec = { ...(await idleSpec(harness)), ...base }
  await runtime.ensureContainer(spec)
  await runtime.startContainer(spec.name)
  const address = (await runtime.inspectContainer(spec.name))?.address ?? 'none'
  const { lines } = await output(t, 'nslookup db', {}, harness)
  t.ok(
    lines.some((line) => line.includes(address)),
    lines.join('\n'),
  )
  const { lines: outside } = await output(t, 'nslookup db', { network: `${prefix}-a` }, harness)
  t.notOk(
    outside.some((line) => line.includes(address)),
    outside.join('\n'),
  )
})

async function idleSpec({ prefix, image }: DockerHarness): Promise<ContainerSpec> {
  return {
    name: `${prefix}-idle`,
    image,
    env: {},
    labels: {},
    network: `${prefix}-net`,
    aliases: [],
    cpu_millis: 500,
    memory_bytes: 32 * 1024 * 1024,
    pids: 40,
    read_only: false,
    stop_grace_seconds: 5,
  }
}

void test('a line that the engine splits comes in parts that say so, and odd bytes do no harm', async (t) => {
  const harness = await dockerHarness(t)
  const { runtime, prefix, image } = harness
  const name = `${prefix}-long`
  const script = "head -c 40000 /dev/zero; echo; printf 'a\\377b\\r\\n'; printf 'no newline'"
  await runtime.ensureNetwork({ name: `${prefix}-net`, labels: {} })
  await runtime.ensureContainer({ ...(await idleSpec(harness)), name, image, command: ['sh', '-c', script] })
  await runtime.startContainer(name)
  const chunks = []
  for await (const chunk of runtime.followLogs(name, { follow: true }, AbortSignal.timeout(60_000)))
    chunks.push(chunk)
  const zeros = chunks.filter(({ line }) => line.startsWith('\0'))
  t.equal(
    zeros.reduce((sum, { line }) => sum + line.length, 0),
    40_000,
  )
  t.same(
    zeros.map(({ partial }) => partial),
    [true, true, false],
  )
  t.same(
    chunks.slice(zeros.length).map(({ line }) => line),
    ['a\uFFFDb', 'no newline'],
  )
})

void test('a reader that does not read holds the output back instead of filling the memory', async (t) => {
  const harness = await dockerHarness(t)
  const { runtime, prefix } = harness
  const name = `${prefix}-flood`
  await runtime.ensureNetwork({ name: `${prefix}-net`, labels: {} })
  await runtime.ensureContainer({
    ...(await idleSpec(harness)),
    name,
    command: ['sh', '-c', 'yes 0123456789012345678901234567890123456789 | head -n 100000; sleep 600'],
  })
  await runtime.startContainer(name)
  const before = process.memoryUsage().rss
  const stop = new AbortController()
  let lines = 0
  for await (const { line } of runtime.followLogs(name, { follow: true }, stop.signal)) {
    lines += line.length > 0 ? 1 : 0
    if (lines === 1) await harness.system.sleep(2000)
    if (lines === 1) t.ok(process.memoryUsage().rss - before < 60e6, 'nothing piles up')
    if (lines === 100_000) stop.abort()
  }
  t.equal(lines, 100_000)
})
