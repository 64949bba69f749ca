import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'tap'
import { createLogFollower, type FollowedContainer } from '../../../src/modules/logs/log-follower.ts'
import type { ServiceLine } from '../../../src/modules/logs/log-schema.ts'
import { createServiceLogs } from '../../../src/modules/logs/service-logs.ts'
import { dockerHarness } from '../../support/docker-harness.ts'
import { waitFor } from '../../support/wait.ts'

const SERVICE = '01900000-0000-7000-8000-00000000a001'
const LINES = 3000
/** Two streams of lines, and two more lines at the end. */
const TOTAL = 2 * LINES + 2
/** Lines on both streams as fast as the shell can, then one that the engine splits. */
const SCRIPT = `i=0; while [ $i -lt ${LINES} ]; do echo "out $i"; echo "err $i" >&2; i=$((i+1)); done; head -c 50000 /dev/zero | tr '\\0' 'x'; echo; echo end`

test('a real engine’s output is stored whole, once and in order over restarts of the daemon', async (t) => {
  const { runtime, prefix, image, system } = await dockerHarness(t)
  const dataDir = mkdtempSync(join(tmpdir(), 'berth-follow-'))
  t.teardown(() => rmSync(dataDir, { recursive: true, force: true }))
  const name = `${prefix}-talker`
  await runtime.ensureNetwork({ name: `${prefix}-net`, labels: {} })
  await runtime.ensureContainer({
    name,
    image,
    command: ['sh', '-c', SCRIPT],
    env: {},
    labels: {},
    network: `${prefix}-net`,
    aliases: [],
    cpu_millis: 1000,
    memory_bytes: 64 * 1024 ** 2,
    pids: 20,
    read_only: false,
    stop_grace_seconds: 1,
  })
  const container: FollowedContainer = {
    container_name: name,
    service_id: SERVICE,
    deployment_id: 'd1',
    replica_index: 0,
  }
  await runtime.startContainer(name)

  let lines: ServiceLine[] = []
  for (let life = 0; lines.length < TOTAL; life += 1) {
    const logs = createServiceLogs({
      dataDir,
      system,
      maxBytes: 100 * 1024 ** 2,
      onError: (error) => t.fail(String(error)),
    })
    const follower = createLogFollower({
      runtime,
      logs,
      system,
      listContainers: () => [container],
      secretsOf: async () => [],
      onError: (error) => t.fail(String(error)),
    })
    const stop = new AbortController()
    await follower.run(stop.signal)
    const log = await logs.open(SERVICE)
    if (!log) throw new Error('there is no log')
    // The first lives end in the middle.
    const enough = life < 4 ? Math.min(log.tail.head + 700, TOTAL) : TOTAL
    await waitFor(`${enough} lines`, () => log.tail.head >= enough)
    stop.abort()
    await follower.stopped()
    lines = []
    for (let batch = await log.readAfter(0); batch; batch = await log.readAfter(batch.last)) {
      lines.push(...batch.lines.map((line) => JSON.parse(line) as ServiceLine))
    }
    await logs.closeAll()
  }

  const of = (stream: string): string[] =>
    lines.filter((line) => line.stream === stream).map(({ line }) => line)
  t.same(
    of('stderr'),
    Array.from({ length: LINES }, (_, index) => `err ${index}`),
  )
  t.same(
    of('stdout').slice(0, LINES),
    Array.from({ length: LINES }, (_, index) => `out ${index}`),
  )
  t.same(of('stdout').slice(LINES), ['x'.repeat(50_000), 'end'], 'what the engine split is one line again')
})
