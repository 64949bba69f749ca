import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, constants, openSync, readFileSync, readSync } from 'node:fs'
import { mkdtemp, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type Test, test } from 'tap'
import { createWorkerLog } from '../../src/ingress/worker/worker-log.ts'
import { systemCodeOf } from '../../src/lib/errors.ts'
import { createLogOutput, type LogOutput } from '../../src/lib/log-output.ts'
import { createSystem } from '../../src/lib/system.ts'
import { freePorts } from '../support/pebble.ts'
import { START_SETTINGS } from '../support/start-settings.ts'
import { waitFor } from '../support/wait.ts'

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url))
const lostLine = (count: number): string => `lost ${count}\n`

async function newFolder(t: Test): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'berth-log-'))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  return folder
}

function flushed(output: LogOutput): Promise<Error | undefined> {
  return new Promise((resolve) => {
    output.flush(resolve)
  })
}

/** What a pipe holds now. */
function readSome(descriptor: number): string {
  const bytes = Buffer.alloc(65_536)
  try {
    return bytes.toString('latin1', 0, readSync(descriptor, bytes))
  } catch (error) {
    if (systemCodeOf(error) === 'EAGAIN') return ''
    throw error
  }
}

/** Lets a descriptor that is in use lead to another file. */
function lead(descriptor: number, file: string): void {
  closeSync(descriptor)
  const others: number[] = []
  for (let opened = openSync(file, 'a'); opened !== descriptor; opened = openSync(file, 'a'))
    others.push(opened)
  for (const other of others) closeSync(other)
}

test('lines come whole and in order, also those of the last moment', async (t) => {
  const file = join(await newFolder(t), 'log')
  const descriptor = openSync(file, 'a')
  const output = createLogOutput(descriptor, lostLine)
  const lines = Array.from({ length: 5000 }, (_, index) => `${index} ${'ü'.repeat(index % 300)}\n`)
  for (const line of lines.slice(0, 4000)) output.write(line)
  t.equal(await flushed(output), undefined)
  for (const line of lines.slice(4000)) {
    output.write(line)
    if (line.startsWith('45')) await flushed(output)
  }
  await flushed(output)
  t.equal(readFileSync(file, 'utf8'), lines.join(''))
  closeSync(descriptor)
})

test('a full disk costs lines, and they are counted in the first one that it takes again', async (t) => {
  const file = join(await newFolder(t), 'log')
  const descriptor = openSync('/dev/full', 'w')
  const output = createLogOutput(descriptor, lostLine)
  for (let turn = 0; turn < 3; turn += 1) {
    output.write('gone\ngone\n')
    t.equal(await flushed(output), undefined)
  }
  lead(descriptor, file)
  output.write('here\n')
  await flushed(output)
  output.write('and here\n')
  await flushed(output)
  t.equal(readFileSync(file, 'utf8'), 'lost 6\nhere\nand here\n')
  closeSync(descriptor)
})

test('a reader that takes nothing costs lines beyond a mebibyte, and a flush does not wait for it', async (t) => {
  const fifo = join(await newFolder(t), 'fifo')
  execFileSync('mkfifo', [fifo])
  const descriptor = openSync(fifo, constants.O_RDWR | constants.O_NONBLOCK)
  const output = createLogOutput(descriptor, lostLine)
  const line = `${'x'.repeat(1023)}\n`
  for (let count = 0; count < 1500; count += 1) output.write(line)
  t.match(await flushed(output), /not taken/)
  let text = ''
  output.write('last\n')
  await waitFor('the last line', () => {
    text += readSome(descriptor)
    return text.endsWith('last\n')
  })
  const [, lost] = /^lost (\d+)$/m.exec(text) ?? []
  t.equal(text.split(line.trim()).length - 1 + Number(lost), 1500)
  closeSync(descriptor)
})

test('a flush waits for a reader that is slow but reads', async (t) => {
  const fifo = join(await newFolder(t), 'fifo')
  execFileSync('mkfifo', [fifo])
  const descriptor = openSync(fifo, constants.O_RDWR | constants.O_NONBLOCK)
  const output = createLogOutput(descriptor, lostLine)
  const line = `${'x'.repeat(1023)}\n`
  for (let count = 0; count < 900; count += 1) output.write(line)
  const outcome = flushed(output)
  const system = createSystem()
  const begin = system.monotonic()
  let text = ''
  while (text.length < 900 * 1024) {
    text += readSome(descriptor)
    await system.sleep(250)
  }
  t.equal(await outcome, undefined)
  t.ok(system.monotonic() - begin > 2000, 'it took longer than a reader may take nothing')
  t.equal(text, line.repeat(900))
  closeSync(descriptor)
})

test('lines of an ingress process that a full disk did not take are counted', async (t) => {
  const folder = await newFolder(t)
  const path = join(folder, 'workers.log')
  const lead = async (target: string): Promise<void> => {
    await rm(path, { force: true })
    await symlink(target, path)
  }
  await lead('/dev/full')
  const { log, tick } = createWorkerLog(path, createSystem())
  for (const event of ['one', 'two', 'three']) log(event)
  await lead(join(folder, 'disk'))
  await waitFor('the count', () => {
    tick()
    return readFileSync(path, 'utf8').includes('"event":"lines_lost","count":3}')
  })
})

test('a daemon whose standard output is full serves, and ends when it is told to', async (t) => {
  const dataDir = await newFolder(t)
  const [port = 0] = await freePorts(1)
  const full = openSync('/dev/full', 'w')
  const daemon: ChildProcess = spawn(process.execPath, [...START_SETTINGS.execArgv, MAIN, 'daemon'], {
    env: {
      ...START_SETTINGS.env,
      PATH: process.env['PATH'],
      HOME: dataDir,
      BERTH_DATA_DIR: dataDir,
      BERTH_CONFIG_FILE: '/dev/null',
      BERTH_BIND: `127.0.0.1:${port}`,
      BERTH_HTTP_BIND: '127.0.0.1',
      BERTH_HTTP_PORT: '0',
      BERTH_HTTPS_PORT: '0',
      BERTH_INGRESS_WORKERS: '1',
    },
    stdio: ['ignore', full, full],
  })
  closeSync(full)
  t.teardown(() => daemon.kill('SIGKILL'))
  const exited = once(daemon, 'exit')
  const status = (path: string): Promise<number | undefined> =>
    fetch(`http://127.0.0.1:${port}${path}`).then(
      (response) => response.status,
      () => undefined,
    )
  await waitFor(
    'the daemon is ready',
    async () => daemon.exitCode !== null || (await status('/readyz')) === 200,
  )
  t.equal(await status('/healthz'), 200)
  daemon.kill('SIGTERM')
  t.same(await exited, [0, null])
})
