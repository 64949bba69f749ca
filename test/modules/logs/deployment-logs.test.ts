import { fork } from 'node:child_process'
import { once } from 'node:events'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Test, test } from 'tap'
import { createSystem } from '../../../src/lib/system.ts'
import { createDeploymentLogs, type DeploymentLogs } from '../../../src/modules/logs/deployment-logs.ts'
import type { FollowEvent } from '../../../src/modules/logs/log-follow.ts'
import type { DeploymentLine } from '../../../src/modules/logs/log-schema.ts'

const ID = '01900000-0000-7000-8000-00000000d001'
const never = new AbortController().signal

function openLogs(t: Test, options: { maxBytes?: number; dataDir?: string } = {}) {
  const dataDir = options.dataDir ?? mkdtempSync(join(tmpdir(), 'berth-logs-'))
  const states = new Map<string, { status: string; is_over: boolean }>([
    [ID, { status: 'Building', is_over: false }],
  ])
  const errors: unknown[] = []
  const logs = createDeploymentLogs({
    ...options,
    dataDir,
    system: createSystem(),
    stateOf: (id) => states.get(id),
    onError: (error) => void errors.push(error),
  })
  t.teardown(async () => {
    await logs.closeAll()
    rmSync(dataDir, { recursive: true, force: true })
  })
  const file = join(dataDir, 'logs', 'deployments', `${ID}.jsonl`)
  // The timers of System keep no process alive; in the daemon its sockets do.
  const alive = setInterval(() => {}, 60_000)
  t.teardown(() => clearInterval(alive))
  return { logs, dataDir, states, errors, file }
}

const status = (line: string) => ({ step: 'build', stream: 'status' as const, line })
const output = (line: string) => ({ step: 'build', stream: 'stdout' as const, line })

async function readAll(logs: DeploymentLogs): Promise<DeploymentLine[]> {
  const { lines, more } = await logs.read(ID, { after: 0, limit: 1_000_000 })
  if (more) throw new Error('the page ended early')
  return lines.map((line) => JSON.parse(line) as DeploymentLine)
}

/** Follows in the background. */
function follow(logs: DeploymentLogs, after = 0, signal: AbortSignal = never) {
  const events: FollowEvent[] = []
  const done = (async () => {
    for await (const event of logs.follow(ID, { after }, signal)) events.push(event)
  })()
  const lines = (): string[] =>
    events.flatMap((event) =>
      event.type === 'lines'
        ? event.batch.lines.map((line) => (JSON.parse(line) as DeploymentLine).line)
        : [],
    )
  return { events, lines, done }
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await createSystem().sleep(5)
}

test('lines are kept in order, numbered from one, with what they are', async (t) => {
  const { logs, file } = openLogs(t)
  logs.append(ID, { step: 'fetch', stream: 'status', line: 'Unpacked.' })
  logs.append(ID, { step: 'build', stream: 'stderr', line: 'warning\r\nsecond' })
  logs.append(ID, { step: null, stream: 'stdout', line: '' })
  const lines = await readAll(logs)
  t.match(lines, [
    { seq: 1, step: 'fetch', stream: 'status', line: 'Unpacked.' },
    { seq: 2, step: 'build', stream: 'stderr', line: 'warning' },
    { seq: 3, step: 'build', stream: 'stderr', line: 'second' },
    { seq: 4, step: null, stream: 'stdout', line: '' },
  ])
  t.match(lines[0]?.ts, /^\d{4}-\d\d-\d\dT[\d:.]+Z$/)
  t.equal(readFileSync(file, 'utf8').split('\n').length, 5)
})

test('secrets are masked before anything is written', async (t) => {
  const { logs, file } = openLogs(t)
  logs.setMasks(ID, ['hunter2-secret'])
  logs.append(ID, output('password=hunter2-secret'))
  logs.append(ID, output(`basic ${Buffer.from('admin:hunter2-secret').toString('base64')}`))
  await logs.flush(ID)
  const text = readFileSync(file, 'utf8')
  t.match(text, 'password=***')
  t.notMatch(text, 'hunter2')
  t.notMatch(text, Buffer.from('hunter2-secret').toString('base64').slice(4, 12))
})

test('numbers go on after a restart, and a torn line is gone', async (t) => {
  const first = openLogs(t)
  for (let index = 1; index <= 5; index += 1) first.logs.append(ID, output(`line ${index}`))
  await first.logs.closeAll()
  writeFileSync(first.file, `${readFileSync(first.file, 'utf8')}{"seq":6,"ts":"2026`)
  const second = openLogs(t, { dataDir: first.dataDir })
  second.logs.append(ID, output('line 6'))
  t.same(
    (await readAll(second.logs)).map(({ seq, line }) => `${seq} ${line}`),
    [1, 2, 3, 4, 5, 6].map((index) => `${index} line ${index}`),
  )
})

test('what was flushed survives kill -9 of the process that wrote it', async (t) => {
  const { logs, dataDir } = openLogs(t)
  const child = fork(join(import.meta.dirname, 'log-writer.ts'), [dataDir, ID], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  })
  let flushed = 0
  child.on('message', (count) => {
    flushed = Number(count)
    if (flushed >= 5000) child.kill('SIGKILL')
  })
  await once(child, 'exit')
  t.ok(flushed >= 5000)
  const lines = await readAll(logs)
  t.ok(lines.length >= flushed, `${lines.length} lines of ${flushed}`)
  t.ok(
    lines.every(
      ({ seq, line }, index) => seq === index + 1 && line === `line ${index + 1} ${'x'.repeat(index % 300)}`,
    ),
  )
  logs.append(ID, output('after'))
  t.equal((await readAll(logs)).at(-1)?.seq, lines.length + 1)
})

test('a log that is full keeps what Berth says, and tells how much is missing', async (t) => {
  const { logs } = openLogs(t, { maxBytes: 20_000 })
  for (let index = 0; index < 1000; index += 1) logs.append(ID, output('o'.repeat(100)))
  logs.append(ID, status('Failed: the build did not work.'))
  for (let index = 0; index < 10; index += 1) logs.append(ID, output('more'))
  await logs.close(ID, 'Failed')
  const lines = await readAll(logs)
  const kept = lines.filter(({ line }) => line.startsWith('oo')).length
  t.ok(kept > 50 && kept < 200, `${kept} kept`)
  t.same(
    lines.slice(kept).map(({ line }) => line.replace(/\d+ bytes/, 'n bytes')),
    [
      `[${1000 - kept} lines were left out: this log is full at n bytes]`,
      'Failed: the build did not work.',
      '[10 lines were left out: this log is full at n bytes]',
    ],
  )
})

test('who opens the log before the first line gets all of it, as it comes, and how it ended', async (t) => {
  const { logs } = openLogs(t)
  const reader = follow(logs)
  logs.append(ID, output('one'))
  await until(() => reader.lines().length === 1)
  logs.append(ID, output('two'))
  logs.append(ID, output('three'))
  await until(() => reader.lines().length === 3)
  await logs.close(ID, 'Healthy')
  await reader.done
  t.same(reader.lines(), ['one', 'two', 'three'])
  t.same(reader.events.at(-1), { type: 'end', state: 'Healthy' })
})

test('who opens the log after the end gets all of it and how it ended, also after a restart', async (t) => {
  const first = openLogs(t)
  first.logs.append(ID, output('one'))
  first.logs.append(ID, output('two'))
  await first.logs.close(ID, 'Failed')
  for (const { logs, states } of [first, openLogs(t, { dataDir: first.dataDir })]) {
    states.set(ID, { status: 'Failed', is_over: true })
    const reader = follow(logs)
    await reader.done
    t.same(reader.lines(), ['one', 'two'])
    t.same(reader.events.at(-1), { type: 'end', state: 'Failed' })
    const resumed = follow(logs, 1)
    await resumed.done
    t.same(resumed.lines(), ['two'])
  }
})

test('a deployment that is over in the database before its log was closed is told whole', async (t) => {
  const { logs, states } = openLogs(t)
  logs.append(ID, output('last words'))
  states.set(ID, { status: 'Cancelled', is_over: true })
  const reader = follow(logs)
  await reader.done
  t.same(reader.lines(), ['last words'])
  t.same(reader.events.at(-1), { type: 'end', state: 'Cancelled' })
})

test('a reader that pauses while thousands of lines come loses none', async (t) => {
  const { logs } = openLogs(t)
  logs.append(ID, output('0'))
  const events = logs.follow(ID, { after: 0 }, never)
  await events.next()
  for (let index = 1; index < 20_000; index += 1) logs.append(ID, output(`${index} ${'x'.repeat(100)}`))
  await logs.close(ID, 'Healthy')
  let next = 1
  for await (const event of events) {
    if (event.type !== 'lines') continue
    for (const line of event.batch.lines) {
      if ((JSON.parse(line) as DeploymentLine).line.split(' ')[0] !== String(next))
        t.fail(`expected ${next}: ${line}`)
      next += 1
    }
  }
  t.equal(next, 20_000)
})

test('following ends without a word when the reader leaves or the daemon stops', async (t) => {
  const { logs } = openLogs(t)
  logs.append(ID, output('one'))
  const leaving = new AbortController()
  const reader = follow(logs, 0, leaving.signal)
  await until(() => reader.lines().length === 1)
  await logs.closeAll()
  leaving.abort()
  await reader.done
  t.equal(reader.events.at(-1)?.type, 'lines')
})

test('pages go on where the last one ended', async (t) => {
  const { logs } = openLogs(t)
  for (let index = 1; index <= 10; index += 1) logs.append(ID, output(`${index}`))
  const first = await logs.read(ID, { after: 0, limit: 4 })
  t.match(first, { more: true, lines: { length: 4 } })
  const rest = await logs.read(ID, { after: 4, limit: 6 })
  t.match(rest, { more: false, lines: { length: 6 } })
  t.same(await logs.read(ID, { after: 10, limit: 6 }), { more: false, lines: [] })
  t.same(await logs.read('01900000-0000-7000-8000-00000000d999', { after: 0, limit: 6 }), {
    more: false,
    lines: [],
  })
})

test('logs of deployments that are gone are swept, and very old ones of those that are over', async (t) => {
  const { logs, states, dataDir } = openLogs(t)
  const directory = join(dataDir, 'logs', 'deployments')
  mkdirSync(directory, { recursive: true })
  for (const id of ['gone', 'old', 'young', 'old-open']) writeFileSync(join(directory, `${id}.jsonl`), '')
  for (const id of ['old', 'old-open']) utimesSync(join(directory, `${id}.jsonl`), 1, 1)
  states.set('old', { status: 'Healthy', is_over: true })
  states.set('old-open', { status: 'Building', is_over: false })
  states.set('young', { status: 'Healthy', is_over: true })
  logs.append(ID, output('x'))
  await logs.flush(ID)
  await logs.sweep(never)
  t.same(readdirSync(directory).toSorted(), [`${ID}.jsonl`, 'old-open.jsonl', 'young.jsonl'])
})

test('a log that is removed is gone, and its readers are told', async (t) => {
  const { logs, file } = openLogs(t)
  logs.append(ID, output('x'))
  const reader = follow(logs)
  await until(() => reader.lines().length === 1)
  await logs.remove(ID)
  await reader.done
  t.notOk(existsSync(file))
})

test('a disk that cannot be written to does not stop the deployment, and lines come when it can', async (t) => {
  const { logs, errors, dataDir } = openLogs(t)
  writeFileSync(join(dataDir, 'logs'), 'in the way')
  logs.append(ID, output('one'))
  logs.append(ID, output('two'))
  await logs.flush(ID)
  t.ok(errors.length > 0)
  rmSync(join(dataDir, 'logs'))
  logs.append(ID, output('three'))
  t.same(
    (await readAll(logs)).map(({ line }) => line),
    ['one', 'two', 'three'],
  )
})

test('an id that is no file name is refused', async (t) => {
  const { logs } = openLogs(t)
  t.throws(() => logs.append('../../etc/x', output('x')))
})
