import { readdir, readFile } from 'node:fs/promises'
import type { Test } from 'tap'
import { test } from 'tap'
import type { BuildLine } from '../../src/runtime/runtime.ts'
import { contextOf } from '../support/busybox-image.ts'
import { dockerHarness, type DockerHarness } from '../support/docker-harness.ts'

type OnLine = (line: BuildLine) => void

async function build(
  harness: DockerHarness,
  dockerfile: string,
  onLine: OnLine = () => {},
  signal?: AbortSignal,
) {
  const spec = {
    // A build argument that every step sees keeps it out of the cache of earlier tests.
    context: await contextOf({
      Dockerfile: `FROM ${harness.image}\nENV TEST=${harness.prefix}\n${dockerfile}\n`,
    }),
    dockerfile: 'Dockerfile',
    build_args: { NAME: 'value' },
    labels: {},
    tag: `${harness.prefix}/built:1`,
    // Builds of other tests that run now are bounded together with this one: enough for them.
    memory_bytes: 512 * 1024 * 1024,
    cpu_millis: 1000,
  }
  return harness.runtime.buildImage(spec, onLine, signal ?? AbortSignal.timeout(120_000))
}

/** The command lines of all processes of the machine. */
async function commandLines(): Promise<string[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name))
  return Promise.all(pids.map((pid) => readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')))
}

async function untilGone({ system }: DockerHarness, mark: string): Promise<boolean> {
  for (let attempt = 0; attempt < 100; attempt += 1) {
    if (!(await commandLines()).some((line) => line.includes(mark))) return true
    await system.sleep(100)
  }
  return false
}

function withBoth(title: string, run: (t: Test, harness: DockerHarness) => Promise<void>): void {
  for (const classicBuilder of [false, true])
    void test(`${classicBuilder ? 'classic builder' : 'BuildKit'}: ${title}`, async (t) =>
      run(t, await dockerHarness(t, { classicBuilder })))
}

withBoth('lines come as they happen, clean of what terminals do with them', async (t, harness) => {
  const lines: BuildLine[] = []
  const step = String.raw`RUN printf '\033[31mred\033[0m\n10%%\r99%%\n'; echo bad >&2; sleep 1; echo late`
  const at: Record<string, number> = {}
  await build(harness, step, (line) => {
    lines.push(line)
    at[line.line] ??= harness.system.monotonic()
  })
  const said = lines.filter(({ stream }) => stream !== 'status')
  t.same(
    said
      .filter(({ stream }) => stream === 'stdout')
      .map(({ line }) => line)
      .slice(0, 3),
    ['red', '99%', 'late'],
  )
  t.same(
    said.filter(({ stream }) => stream === 'stderr').map(({ line }) => line),
    ['bad'],
  )
  t.ok((at['late'] ?? 0) - (at['red'] ?? 0) > 500, 'the first line did not wait for the last')
  t.ok(lines.some(({ stream, line }) => stream === 'status' && line.includes('RUN printf')))
})

withBoth('a step that was built before is said to be cached', async (t, harness) => {
  await build(harness, 'RUN echo once')
  const lines: string[] = []
  await build(harness, 'RUN echo once', ({ line }) => lines.push(line))
  t.ok(
    lines.some((line) => line.endsWith('cached')),
    lines.join('\n'),
  )
  t.notOk(lines.includes('once'))
})

withBoth('a step cannot use more memory than a build may', async (t, harness) => {
  const failure = await build(harness, 'RUN yes $(seq 2000) | sort').catch((error: unknown) => error)
  t.match(failure, { name: 'BuildFailed', message: /exit code 137 \(it was killed/ })
})

withBoth('a build that is cancelled stops its processes within seconds', async (t, harness) => {
  const seconds = String(10_000 + harness.system.randomBytes(2).readUInt16BE())
  const cancel = new AbortController()
  const onLine: OnLine = ({ line }) => line === 'running' && cancel.abort(new Error('stop it'))
  await t.rejects(build(harness, `RUN echo running; sleep ${seconds}`, onLine, cancel.signal), {
    message: 'stop it',
  })
  t.ok(await untilGone(harness, seconds))
})

withBoth('what is wrong with a Dockerfile is the reason of the failure', async (t, harness) => {
  await t.rejects(build(harness, 'FROB x'), { name: 'BuildFailed', message: /unknown instruction: FROB/i })
  await t.rejects(build(harness, 'COPY nothing /'), { name: 'BuildFailed', message: /nothing/ })
})

withBoth('very long lines and very many lines are bounded', async (t, harness) => {
  let longest = 0
  let bytes = 0
  await build(harness, "RUN head -c 100000 /dev/zero | tr '\\000' x; yes | head -n 3000000", ({ line }) => {
    longest = Math.max(longest, line.length)
    bytes += line.length
  })
  t.ok(longest <= 16 * 1024, String(longest))
  t.ok(bytes < 17 * 1024 * 1024, String(bytes))
})
