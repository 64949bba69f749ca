import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type IPty, spawn as spawnTerminal } from 'node-pty'
import type { Test } from 'tap'

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url))
const CACHE = fileURLToPath(new URL('../../node_modules/.cache', import.meta.url))
/** Where commands keep compiled code, as the installed command does: those of all tests start faster for it. */
export const COMMAND_CACHE = join(CACHE, 'berth', 'code')

export interface Result {
  status: number | null
  stdout: string
  stderr: string
}

export interface RunOptions {
  /** What stdin holds; null keeps it open. */
  input?: string | null
  environment?: Record<string, string>
  directory?: string
}

/** Someone who uses the `berth` command, with a home directory of their own. */
export interface Person {
  home: string
  environment: Record<string, string>
  /** Runs a command to its end, with pipes for stdin, stdout and stderr. */
  berth(args: readonly string[], options?: RunOptions): Promise<Result>
  /** Starts a command and hands it out while it runs. */
  start(args: readonly string[], options?: RunOptions): RunningCommand
  /** Starts a command on a terminal. */
  terminal(args: readonly string[], options?: RunOptions & { columns?: number }): TerminalCommand
}

export interface RunningCommand {
  /** Resolves once stderr holds the text. */
  says(text: string): Promise<void>
  /** The same for stdout. */
  prints(text: string): Promise<void>
  signal(name: NodeJS.Signals): void
  ended: Promise<Result>
}

export interface TerminalCommand {
  /** Resolves once the terminal has shown the text since the last call. */
  shows(text: string): Promise<void>
  type(keys: string): void
  /** Resolves when the command ends, with all that the terminal was sent. */
  ended: Promise<{ status: number; shown: string }>
}

/** Environment in which the clock of a command goes wrong. */
export function wrongClock(aheadMs: number): Record<string, string> {
  const script = `const now=Date.now;Date.now=()=>now()+(${aheadMs})`
  return { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(script)}` }
}

/** A person with an empty home directory, which goes with the test. */
export async function newPerson(t: Test, environment: Record<string, string> = {}): Promise<Person> {
  const home = await mkdtemp(join(tmpdir(), 'berth-cli-'))
  t.teardown(() => rm(home, { recursive: true, force: true }))
  const base = {
    PATH: process.env['PATH'] ?? '',
    HOME: home,
    NODE_COMPILE_CACHE: COMMAND_CACHE,
    XDG_CACHE_HOME: CACHE,
    BERTH_DATA_DIR: join(home, 'data'),
    TERM: 'xterm-256color',
    ...environment,
  }
  const start = (args: readonly string[], options: RunOptions = {}): RunningCommand => {
    const child = spawn(process.execPath, [MAIN, ...args], {
      env: { ...base, ...options.environment },
      cwd: options.directory ?? home,
    })
    let stdout = ''
    let stderr = ''
    const waiting = new Set<() => void>()
    child.stdout.on('data', (chunk: Buffer) => {
      stdout += chunk.toString()
      for (const each of waiting) each()
    })
    child.stderr.on('data', (chunk: Buffer) => {
      stderr += chunk.toString()
      for (const each of waiting) each()
    })
    // A command that ends early does not read its input.
    child.stdin.on('error', () => {})
    if (options.input !== null) child.stdin.end(options.input ?? '')
    const ended = once(child, 'close').then(([status]) => ({
      status: status as number | null,
      stdout,
      stderr,
    }))
    t.teardown(() => child.kill('SIGKILL'))
    const until = (holds: () => boolean): Promise<void> =>
      waitFor(
        holds,
        waiting,
        ended.then((result) => JSON.stringify(result)),
      )
    return {
      says: (text) => until(() => stderr.includes(text)),
      prints: (text) => until(() => stdout.includes(text)),
      signal: (name) => child.kill(name),
      ended,
    }
  }
  return {
    home,
    environment: base,
    start,
    berth: (args, options) => start(args, options).ended,
    terminal: (args, options = {}) => {
      const pty = spawnTerminal(process.execPath, [MAIN, ...args], {
        name: 'xterm-256color',
        cols: options.columns ?? 100,
        rows: 30,
        cwd: options.directory ?? home,
        env: { ...base, ...options.environment },
      })
      t.teardown(() => kill(pty))
      return watchTerminal(pty)
    },
  }
}

function kill(pty: IPty): void {
  try {
    pty.kill('SIGKILL')
  } catch {
    // It has ended.
  }
}

function watchTerminal(pty: IPty): TerminalCommand {
  let shown = ''
  let seen = 0
  const waiting = new Set<() => void>()
  pty.onData((data) => {
    shown += data
    for (const each of waiting) each()
  })
  const ended = new Promise<{ status: number; shown: string }>((resolve) => {
    pty.onExit(({ exitCode }) => resolve({ status: exitCode, shown }))
  })
  return {
    shows: async (text) => {
      await waitFor(
        () => shown.includes(text, seen),
        waiting,
        ended.then(() => shown),
      )
      seen = shown.indexOf(text, seen) + text.length
    },
    type: (keys) => pty.write(keys),
    ended,
  }
}

/** Resolves when the condition holds after some output; rejects when the command ends first. */
async function waitFor(
  condition: () => boolean,
  waiting: Set<() => void>,
  ended: Promise<string>,
): Promise<void> {
  if (condition()) return
  let check = (): void => {}
  const met = new Promise<void>((resolve) => {
    check = () => {
      if (condition()) resolve()
    }
    waiting.add(check)
  })
  const early = async (): Promise<void> => {
    const said = await ended
    if (!condition()) throw new Error(`the command ended without saying it:\n${said}`)
  }
  await Promise.race([met, early()])
  waiting.delete(check)
}

/** Writes files below a folder; a name that ends with a slash is a folder. */
export async function writeFiles(
  folder: string,
  files: Readonly<Record<string, string | Buffer>>,
): Promise<void> {
  for (const [name, content] of Object.entries(files)) {
    const path = join(folder, name)
    await mkdir(name.endsWith('/') ? path : dirname(path), { recursive: true })
    if (!name.endsWith('/')) await writeFile(path, content)
  }
}
