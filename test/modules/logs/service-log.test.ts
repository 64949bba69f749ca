import {
  copyFileSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Test, test } from 'tap'
import { zstdDecompressSync } from 'node:zlib'
import { createSystem } from '../../../src/lib/system.ts'
import { createDeploymentLogs } from '../../../src/modules/logs/deployment-logs.ts'
import { createLogOperations } from '../../../src/modules/logs/log-operations.ts'
import { type LogQuery, queryLog } from '../../../src/modules/logs/log-query.ts'
import type { ServiceLine } from '../../../src/modules/logs/log-schema.ts'
import type { OutputLine } from '../../../src/modules/logs/output-place.ts'
import type { ServiceLog } from '../../../src/modules/logs/service-log.ts'
import { createServiceLogs } from '../../../src/modules/logs/service-logs.ts'

const SERVICE = '01900000-0000-7000-8000-00000000a001'
const MIB = 1024 ** 2
const never = new AbortController().signal
const START = Date.parse('2026-11-21T08:00:00Z')

function openLogs(t: Test, options: { maxBytes?: number; dataDir?: string } = {}) {
  const dataDir = options.dataDir ?? mkdtempSync(join(tmpdir(), 'berth-logs-'))
  const errors: unknown[] = []
  const logs = createServiceLogs({
    dataDir,
    system: createSystem(),
    maxBytes: options.maxBytes ?? 100 * MIB,
    onError: (error) => void errors.push(error),
  })
  const alive = setInterval(() => {}, 60_000)
  t.teardown(async () => {
    clearInterval(alive)
    await logs.closeAll()
    rmSync(dataDir, { recursive: true, force: true })
  })
  const directory = join(dataDir, 'logs', 'services', SERVICE)
  const open = async (): Promise<ServiceLog> => {
    const log = await logs.open(SERVICE)
    if (!log) throw new Error('it was removed')
    return log
  }
  return { logs, dataDir, directory, errors, open, names: () => readdirSync(directory).toSorted() }
}

const instant = (ms: number): string => `${new Date(START + ms).toISOString().slice(0, -1)}000000Z`

/** Lines `from` to `to`, a second apart, by turns of two replicas of one deployment. */
async function write(
  log: ServiceLog,
  from: number,
  to: number,
  width = 20,
  deployment = 'd1',
): Promise<void> {
  for (let index = from; index <= to; index += 1) {
    const line: OutputLine = {
      stream: index % 5 === 0 ? 'stderr' : 'stdout',
      ts: instant(index * 1000),
      line: `line ${index} ${noise(index, width)}`,
    }
    await log.append({ deployment_id: deployment, replica: index % 2 }, line)
  }
  await log.flush()
}

/** Text that does not compress to nothing. */
function noise(seed: number, width: number): string {
  let state = seed * 2_654_435_761
  let text = ''
  while (text.length < width) {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0
    text += state.toString(36)
  }
  return text.slice(0, width)
}

async function query(
  log: ServiceLog,
  wanted: Partial<LogQuery>,
): Promise<{ numbers: number[]; more: boolean }> {
  const { lines, more } = await queryLog(log, { limit: 1000, ...wanted }, createSystem(), never)
  return { numbers: lines.map((line) => numberOf(JSON.parse(line) as ServiceLine)), more }
}

function numberOf({ line }: ServiceLine): number {
  return Number(line.split(' ')[1])
}

async function readAll(log: ServiceLog): Promise<ServiceLine[]> {
  const lines: ServiceLine[] = []
  for (let batch = await log.readAfter(0); batch; batch = await log.readAfter(batch.last)) {
    lines.push(...batch.lines.map((line) => JSON.parse(line) as ServiceLine))
  }
  return lines
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await createSystem().sleep(5)
}

const range = (from: number, to: number): number[] =>
  Array.from({ length: to - from + 1 }, (_, index) => from + index)

test('a line is kept with its number, instant, stream, replica and deployment', async (t) => {
  const { open } = openLogs(t)
  const log = await open()
  await log.append(
    { deployment_id: 'd1', replica: 3 },
    { stream: 'stderr', ts: instant(5), line: 'say "hi"\t\u2028é' },
  )
  await log.flush()
  t.same(await readAll(log), [
    { seq: 1, ts: instant(5), stream: 'stderr', replica: 3, deployment_id: 'd1', line: 'say "hi"\t\u2028é' },
  ])
})

test('segments are closed at their size, compressed, and read like the open one', async (t) => {
  const { open, names, directory } = openLogs(t, { maxBytes: 8 * MIB })
  const log = await open()
  await write(log, 1, 12_000, 400)
  await until(
    () =>
      names().filter((name) => name.endsWith('.zst')).length >= 2 &&
      names().filter((name) => name.endsWith('.jsonl')).length === 1,
  )
  const closed = names().find((name) => name.endsWith('.zst')) ?? ''
  t.match(closed, /^0{15}1-\d{16}-\d{13}-\d{13}\.jsonl\.zst$/)
  const plain = zstdDecompressSync(readFileSync(join(directory, closed)))
  t.ok(plain.length > statSync(join(directory, closed)).size, 'smaller than before')
  const lines = await readAll(log)
  t.same(
    lines.map(({ seq }) => seq),
    range(1, 12_000),
  )
  t.same(lines.map(numberOf), range(1, 12_000))
  t.equal((await log.readAfter(5000))?.first, 5001)
  t.equal(await log.readAfter(12_000), undefined)
})

test('everything is there after a restart, and numbers go on', async (t) => {
  const first = openLogs(t, { maxBytes: 8 * MIB })
  await write(await first.open(), 1, 8000, 400)
  await first.logs.closeAll()
  const second = openLogs(t, { maxBytes: 8 * MIB, dataDir: first.dataDir })
  const log = await second.open()
  t.equal(log.tail.head, 8000)
  await write(log, 8001, 8010)
  t.same(
    (await readAll(log)).map(({ seq }) => seq),
    range(1, 8010),
  )
})

test('what a crash leaves in the directory is put in order', async (t) => {
  const first = openLogs(t, { maxBytes: 8 * MIB })
  await write(await first.open(), 1, 12_000, 400)
  await until(() => first.names().filter((name) => name.endsWith('.jsonl')).length === 1)
  await first.logs.closeAll()
  const [compressed = '', next = ''] = first.names()
  const path = (name: string): string => join(first.directory, name)
  // Compressed, but the plain one not yet removed; another one closed, but not yet compressed; a torn line; a temporary file.
  writeFileSync(path(`${compressed.slice(0, 16)}.jsonl`), zstdDecompressSync(readFileSync(path(compressed))))
  writeFileSync(path(`${next.slice(0, 16)}.jsonl`), zstdDecompressSync(readFileSync(path(next))))
  rmSync(path(next))
  const open = first.names().findLast((name) => name.endsWith('.jsonl')) ?? ''
  writeFileSync(path(open), `${readFileSync(path(open), 'utf8')}{"seq":12001,"ts"`)
  copyFileSync(path(compressed), path(`${compressed}.abc.tmp`))
  const second = openLogs(t, { maxBytes: 8 * MIB, dataDir: first.dataDir })
  const log = await second.open()
  t.same(
    (await readAll(log)).map(({ seq }) => seq),
    range(1, 12_000),
  )
  await write(log, 12_001, 12_001)
  await until(() => second.names().filter((name) => name.endsWith('.jsonl')).length === 1)
  t.notOk(second.names().some((name) => name.endsWith('.tmp')))
  t.same(
    (await readAll(log)).map(({ seq }) => seq),
    range(1, 12_001),
  )
})

test('the oldest segments go when there is too much', async (t) => {
  const { open, directory, names } = openLogs(t, { maxBytes: MIB })
  const log = await open()
  await write(log, 1, 30_000, 300)
  await until(() => names().filter((name) => name.endsWith('.jsonl')).length === 1)
  const bytes = names().reduce((sum, name) => sum + statSync(join(directory, name)).size, 0)
  t.ok(bytes <= 1.5 * MIB, `${bytes} bytes`)
  const seqs = (await readAll(log)).map(({ seq }) => seq)
  t.ok((seqs[0] ?? 0) > 1000)
  t.same(seqs, range(seqs[0] ?? 0, 30_000))
})

test('what is too old goes, also out of the segment that is written to', async (t) => {
  const { open, logs, names } = openLogs(t, { maxBytes: 8 * MIB })
  const log = await open()
  await write(log, 1, 6000, 400)
  await until(() => names().some((name) => name.endsWith('.zst')))
  const exists = (): boolean => true
  await logs.sweep(START, exists, never)
  t.equal((await readAll(log)).length, 6000)
  await logs.sweep(START + 86_400_000, exists, never)
  t.equal((await readAll(log)).length, 0)
  await write(log, 1, 3)
  t.same(
    (await readAll(log)).map(({ seq }) => seq),
    [6001, 6002, 6003],
  )
})

test('the newest lines are found first, and older pages follow', async (t) => {
  const { open, names } = openLogs(t, { maxBytes: 8 * MIB })
  const log = await open()
  await write(log, 1, 12_000, 400)
  await until(() => names().filter((name) => name.endsWith('.jsonl')).length === 1)
  t.same(await query(log, { limit: 3 }), { numbers: [11_998, 11_999, 12_000], more: true })
  t.same(await query(log, { limit: 3, before: 11_998 }), { numbers: [11_995, 11_996, 11_997], more: true })
  t.same(await query(log, { limit: 5, before: 3 }), { numbers: [1, 2], more: false })
  t.same(await query(log, { limit: 0 }), { numbers: [], more: true })
  t.same(await query(log, { after: 11_998 }), { numbers: [11_999, 12_000], more: false })
  t.equal((await query(log, { limit: 20_000 })).numbers.length > 7000, true, 'a page is bounded in bytes')
})

test('lines are found by time, replica, deployment and text', async (t) => {
  const { open } = openLogs(t, { maxBytes: 8 * MIB })
  const log = await open()
  await write(log, 1, 5000, 400, 'd1')
  await write(log, 5001, 10_000, 400, 'd2')
  t.same((await query(log, { since_ms: START + 9_998_000 })).numbers, [9998, 9999, 10_000])
  t.same((await query(log, { until_ms: START + 3000 })).numbers, [1, 2, 3])
  t.same((await query(log, { since_ms: START + 10_000, until_ms: START + 12_000 })).numbers, [10, 11, 12])
  t.same((await query(log, { replica: 1, limit: 2 })).numbers, [9997, 9999])
  t.same((await query(log, { deployment_id: 'd1', limit: 2 })).numbers, [4999, 5000])
  t.same((await query(log, { grep: 'line 77 ' })).numbers, [77])
  t.same((await query(log, { grep: 'line 77 ', replica: 0 })).numbers, [])
  t.same((await query(log, { grep: '"replica":1' })).numbers, [], 'only the text of the line counts')
})

test('the searches of one project keep no other from its own', async (t) => {
  const { logs, dataDir, open } = openLogs(t)
  await write(await open(), 1, 2000, 200)
  const other = SERVICE.replace('a001', 'b001')
  const log = await logs.open(other)
  if (log) await write(log, 1, 2)
  const real = createSystem()
  const held = Promise.withResolvers<void>()
  let searching = 0
  // A search of more than a few lines lets the loop have its turn.
  const system = { ...real, sleep: () => ((searching += 1), held.promise) }
  const deploymentLogs = createDeploymentLogs({
    dataDir,
    system,
    stateOf: () => undefined,
    onError: () => {},
  })
  const operations = createLogOperations({
    serviceLogs: logs,
    deploymentLogs,
    system,
    projectOf: (id) => `project of ${id}`,
  })
  const search = (id: string) => operations.readServiceLog(id, { grep: 'line 1 ' }, undefined, never)
  // Whoever follows only some lines searches for the last ones of them.
  const follow = async (query: object) => {
    const events = await operations.followServiceLog(SERVICE, query, undefined, never)
    return (await events(never).next()).value
  }
  const followed = Array.from({ length: 3 }, () => follow({ deployment_id: 'd1', tail: 2000 }))
  const slow = Array.from({ length: 2 }, () => search(SERVICE))
  await until(() => searching >= 2)
  t.equal((await search(other)).lines.length, 1)
  t.match(await follow({ tail: 3 }), { type: 'lines' }, 'the last lines of all are there at once')
  t.equal(searching, 2)
  held.resolve()
  for (const { lines } of await Promise.all(slow)) t.equal(lines.length, 1)
  for (const first of await Promise.all(followed)) t.match(first, { batch: { lines: { length: 2000 } } })
})

test('text to search for may hold anything', async (t) => {
  const { open } = openLogs(t)
  const log = await open()
  const lines = ['a "quoted" \\ word', 'tab\there', 'ünï', '.*', 'plain']
  for (const [index, line] of lines.entries()) {
    await log.append({ deployment_id: 'd', replica: 0 }, { stream: 'stdout', ts: instant(index), line })
  }
  await log.flush()
  const found = async (grep: string): Promise<string[]> =>
    (await queryLog(log, { limit: 10, grep }, createSystem(), never)).lines.map(
      (line) => (JSON.parse(line) as ServiceLine).line,
    )
  for (const [grep, line] of [
    ['"quoted" \\', lines[0]],
    ['\th', lines[1]],
    ['nï', lines[2]],
    ['.*', lines[3]],
  ] as const) {
    t.same(await found(grep), [line])
  }
  t.same(await found('"}'), [])
})

test('a search that nobody waits for ends', async (t) => {
  const { open } = openLogs(t)
  const log = await open()
  await write(log, 1, 5000)
  const left = AbortSignal.abort(new Error('the client left'))
  await t.rejects(queryLog(log, { limit: 10 }, createSystem(), left), { message: 'the client left' })
})

test('where a container was left off is known after any restart, from the newest segment alone', async (t) => {
  const first = openLogs(t, { maxBytes: 4 * MIB })
  const log = await first.open()
  await log.append({ deployment_id: 'quiet', replica: 0 }, { stream: 'stderr', ts: instant(1), line: 'x' })
  await log.append({ deployment_id: 'quiet', replica: 0 }, { stream: 'stderr', ts: instant(1), line: 'y' })
  await write(log, 1, 4000, 400)
  await until(() => first.names().some((name) => name.endsWith('.zst')))
  const expected = {
    quiet: log.placeOf({ deployment_id: 'quiet', replica: 0 }),
    loud: log.placeOf({ deployment_id: 'd1', replica: 0 }),
  }
  t.same(expected.quiet, { stderr: { ts: instant(1), count: 2 } })
  await first.logs.closeAll()
  const second = openLogs(t, { maxBytes: 4 * MIB, dataDir: first.dataDir })
  const again = await second.open()
  t.same(again.placeOf({ deployment_id: 'quiet', replica: 0 }), expected.quiet)
  t.same(again.placeOf({ deployment_id: 'd1', replica: 0 }), expected.loud)
  t.same(again.placeOf({ deployment_id: 'never', replica: 0 }), {})
})

test('a service that is removed leaves nothing, its readers are told, and a late line does not bring it back', async (t) => {
  const { open, logs, dataDir } = openLogs(t, { maxBytes: 2 * MIB })
  const log = await open()
  await write(log, 1, 4000, 400)
  await logs.remove(SERVICE)
  await logs.remove(SERVICE)
  t.same(readdirSync(join(dataDir, 'logs', 'services')), [])
  t.same(log.tail.final, { state: 'Deleted' })
  await log.append({ deployment_id: 'd', replica: 0 }, { stream: 'stdout', ts: instant(1), line: 'late' })
  await log.flush()
  t.equal(await logs.open(SERVICE), undefined)
  t.same(readdirSync(join(dataDir, 'logs', 'services')), [])
})

test('logs of services that are gone are swept', async (t) => {
  const { open, logs, dataDir } = openLogs(t)
  await write(await open(), 1, 10)
  await logs.sweep(0, () => false, never)
  t.same(readdirSync(join(dataDir, 'logs', 'services')), [])
})

test('one who writes faster than the disk is held back, and while the disk refuses nothing is lost', async (t) => {
  const { open, dataDir, errors } = openLogs(t)
  const log = await open()
  writeFileSync(join(dataDir, 'logs'), 'in the way')
  const origin = { deployment_id: 'd', replica: 0 }
  let held: Promise<void> | undefined
  let count = 0
  while (!held) {
    count += 1
    held = log.append(origin, { stream: 'stdout', ts: instant(count), line: noise(count, 1000) })
  }
  t.ok(count > 500 && count < 2000, `held back after ${count} lines`)
  await until(() => errors.length > 0)
  rmSync(join(dataDir, 'logs'))
  await held
  t.same(
    (await readAll(log)).map(({ seq }) => seq),
    range(1, count),
  )
})
