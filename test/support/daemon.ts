import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { Test } from 'tap'
import { COMMAND_CACHE } from './berth-command.ts'
import { START_SETTINGS } from './start-settings.ts'
import { seedWorkerCode } from './worker-code.ts'

const run = promisify(execFile)
const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url))
export const EXAMPLES = fileURLToPath(new URL('../../examples', import.meta.url))
export const ADMIN_TOKEN = 'the-install-admin-token-of-a-test'
const PASSWORD = 'correct horse battery staple'

export interface Installation {
  dataDir: string
  /** Base URL of the API of the daemon that runs now. */
  api(): string
  httpPort(): number
  /** A session's token of the first administrator. */
  token(): string
  start(): Promise<void>
  /** Sends the signal and waits for the end; answers the exit code. */
  stop(signal?: NodeJS.Signals): Promise<number | null>
  /** One JSON call; throws with the answer's text unless the status is below 400. */
  call<T>(method: string, path: string, body?: unknown): Promise<T>
  /** Runs the CLI with its own settings; rejects unless it exits with 0. */
  berth(...args: string[]): Promise<{ stdout: string; stderr: string }>
  /** Everything that the daemons have logged. */
  log(): string
}

/**
 * A Berth of its own for one test: a real daemon process over a real engine, on ports of its own. Whatever it made goes with the test.
 */
export async function installBerth(t: Test, environment: Record<string, string> = {}): Promise<Installation> {
  const dataDir = await mkdtemp(join(tmpdir(), 'berth-e2e-'))
  await seedWorkerCode(dataDir)
  const log: string[] = []
  let child: ChildProcess | undefined
  let ready = { api: '', http_port: 0, https_port: 0 }
  let token = ''
  let apiPort = 0

  const start = async (): Promise<void> => {
    const started = spawn(process.execPath, [...START_SETTINGS.execArgv, MAIN, 'daemon'], {
      env: {
        ...START_SETTINGS.env,
        PATH: process.env['PATH'],
        HOME: dataDir,
        BERTH_DATA_DIR: dataDir,
        BERTH_CONFIG_FILE: await emptyConfig(dataDir),
        BERTH_BIND: `127.0.0.1:${apiPort}`,
        BERTH_HTTP_BIND: '127.0.0.1',
        BERTH_HTTP_PORT: String(ready.http_port),
        BERTH_HTTPS_PORT: String(ready.https_port),
        BERTH_INGRESS_WORKERS: '2',
        BERTH_ADMIN_TOKEN: ADMIN_TOKEN,
        BERTH_RATE_LIMIT_PER_MINUTE: '100000',
        ...environment,
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    child = started
    started.stderr.on('data', (chunk: Buffer) => log.push(chunk.toString()))
    ready = await new Promise((resolve, reject) => {
      createInterface({ input: started.stdout }).on('line', (line) => {
        log.push(`${line}\n`)
        const entry = readLine(line)
        if (entry?.msg === 'Berth is ready') resolve(entry)
      })
      started.once('exit', (code) => reject(new Error(`the daemon ended with ${code}:\n${log.join('')}`)))
    })
    apiPort = Number(new URL(ready.api).port)
  }

  const stop = async (signal: NodeJS.Signals = 'SIGTERM'): Promise<number | null> => {
    const stopped = child
    if (!stopped || stopped.exitCode !== null || stopped.signalCode !== null) return stopped?.exitCode ?? null
    const exited = once(stopped, 'exit')
    stopped.kill(signal)
    await exited
    return stopped.exitCode
  }

  const call = async <T>(method: string, path: string, body?: unknown): Promise<T> => {
    const response = await fetch(`${ready.api}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${token || ADMIN_TOKEN}`,
        ...(body !== undefined && { 'content-type': 'application/json' }),
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    })
    const text = await response.text()
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`)
    return (text === '' ? undefined : JSON.parse(text)) as T
  }

  t.teardown(async () => {
    if (!t.passing())
      t.comment(
        log
          .filter((line) => !line.includes('"msg":"request"'))
          .join('')
          .slice(-20_000),
      )
    await stop('SIGINT')
    await removeContainers(dataDir)
    await rm(dataDir, { recursive: true, force: true })
  })
  await start()
  await call('POST', '/v1/bootstrap', { username: 'admin', password: PASSWORD })
  token = (await call<{ token: string }>('POST', '/v1/auth/login', { username: 'admin', password: PASSWORD }))
    .token

  return {
    dataDir,
    api: () => ready.api,
    httpPort: () => ready.http_port,
    token: () => token,
    start,
    stop,
    call,
    berth: (...args) =>
      run(process.execPath, [MAIN, ...args], {
        env: {
          PATH: process.env['PATH'],
          HOME: dataDir,
          NODE_COMPILE_CACHE: COMMAND_CACHE,
          XDG_CONFIG_HOME: join(dataDir, 'cli'),
          BERTH_URL: ready.api,
          BERTH_TOKEN: token,
        },
        timeout: 180_000,
        maxBuffer: 32 * 1024 * 1024,
      }),
    log: () => log.join(''),
  }
}

function readLine(
  line: string,
): { msg?: string; api: string; http_port: number; https_port: number } | undefined {
  try {
    return JSON.parse(line) as { msg?: string; api: string; http_port: number; https_port: number }
  } catch {
    return undefined
  }
}

/** The machine's own configuration must not reach into a test. */
async function emptyConfig(dataDir: string): Promise<string> {
  const { writeFile } = await import('node:fs/promises')
  const file = join(dataDir, 'empty.toml')
  await writeFile(file, '')
  return file
}

/** Removes what the node of this data directory left in the engine. */
async function removeContainers(dataDir: string): Promise<void> {
  const { default: Sqlite } = await import('better-sqlite3')
  const id = await readFile(join(dataDir, 'berth.db')).then(
    () => {
      const database = new Sqlite(join(dataDir, 'berth.db'), { readonly: true })
      const row = database.prepare('SELECT id FROM node').get() as { id: string } | undefined
      database.close()
      return row?.id
    },
    () => undefined,
  )
  if (id === undefined) return
  const filter = `label=berth.node=${id}`
  await removeAll(['ps', '-aq', '--filter', filter], ['rm', '-f', '-v'])
  await removeAll(['volume', 'ls', '-q', '--filter', filter], ['volume', 'rm', '-f'])
  await removeAll(['network', 'ls', '-q', '--filter', filter], ['network', 'rm'])
  await removeAll(['images', '-q', '--filter', filter, '--filter', 'label=berth.kind=image'], ['rmi', '-f'])
}

async function removeAll(list: string[], remove: string[]): Promise<void> {
  const { stdout } = await run('docker', list)
  const ids = [...new Set(stdout.split('\n').filter(Boolean))]
  if (ids.length > 0) await run('docker', [...remove, ...ids])
}
