import { type ChildProcess, spawn } from 'node:child_process'
import { systemCodeOf } from '../../lib/errors.ts'

export interface ChildOptions {
  program: string
  args: readonly string[]
  cwd: string
  /** All that the program gets: nothing of the daemon's own environment. */
  env: Readonly<Record<string, string>>
  /** Written to its standard input; without it, that is empty. */
  input?: string
  /** Given what it prints, as it comes. */
  onOutput?: (chunk: Buffer) => void
  /** Given each line that it prints to standard error; a carriage return ends one too. */
  onLine?: (line: string) => void
  limits: ChildLimits
  /** Kills it, with all that it started, when it aborts; the run then rejects with the signal's reason. */
  signal: AbortSignal
}

/** What the kernel holds a program to, and each that it starts. */
export interface ChildLimits {
  /** Of its address space. */
  memory_bytes: number
  /** Of each file that it writes. */
  file_bytes: number
}

export interface ChildEnd {
  /** Null when a signal ended it. */
  code: number | null
}

const LONGEST_LINE = 4096

/**
 * Runs a program in a process group of its own until it has ended and let go of its pipes. It dies with the daemon: nothing is left that
 * writes into a folder which the next daemon has begun to use again.
 */
export async function runChild(options: ChildOptions): Promise<ChildEnd> {
  options.signal.throwIfAborted()
  const child = startChild(options)
  const lines = createLineReader(options.onLine)
  child.stdout?.on('data', (chunk: Buffer) => options.onOutput?.(chunk))
  child.stderr?.on('data', (chunk: Buffer) => lines.push(chunk))
  // A program that ends before it has read everything is judged by its status.
  child.stdin?.on('error', () => {})
  child.stdin?.end(options.input ?? '')
  const kill = (): void => killGroup(child)
  options.signal.addEventListener('abort', kill, { once: true })
  if (options.signal.aborted) kill()
  try {
    const code = await ended(child, options.program)
    lines.end()
    options.signal.throwIfAborted()
    return { code }
  } finally {
    options.signal.removeEventListener('abort', kill)
  }
}

/** Starts a program that goes on until `killGroup` ends it or the daemon dies. */
export function startChild(
  options: Omit<ChildOptions, 'input' | 'onOutput' | 'onLine' | 'signal'>,
): ChildProcess {
  const { memory_bytes, file_bytes } = options.limits
  const limits = [`--as=${memory_bytes}`, `--fsize=${file_bytes}`, '--core=0']
  // setpriv and prlimit replace themselves by the program: there is one process, of one pid.
  return spawn(
    'setpriv',
    ['--pdeathsig', 'KILL', '--no-new-privs', 'prlimit', ...limits, options.program, ...options.args],
    { cwd: options.cwd, env: options.env, detached: true, stdio: ['pipe', 'pipe', 'pipe'] },
  )
}

/** Kills a program with all that it started. */
export function killGroup(child: ChildProcess): void {
  if (child.pid === undefined) return
  try {
    process.kill(-child.pid, 'SIGKILL')
  } catch (error) {
    if (systemCodeOf(error) !== 'ESRCH') throw error
  }
}

function ended(child: ChildProcess, program: string): Promise<number | null> {
  return new Promise((resolve, reject) => {
    child.once('error', (error) =>
      reject(new Error(`${program} cannot be started (by setpriv and prlimit)`, { cause: error })),
    )
    child.once('close', (code) => resolve(code))
  })
}

function createLineReader(onLine: ChildOptions['onLine']): { push(chunk: Buffer): void; end(): void } {
  const decoder = new TextDecoder()
  let rest = ''
  const take = (text: string): void => {
    const lines = `${rest}${text}`.split(/\r\n|\r|\n/)
    // Without this, a server that never ends its line would fill the memory.
    rest = (lines.pop() ?? '').slice(0, LONGEST_LINE)
    for (const line of lines) if (line !== '') onLine?.(line.slice(0, LONGEST_LINE))
  }
  return {
    push: (chunk) => take(decoder.decode(chunk, { stream: true })),
    end: () => take(`${decoder.decode()}\n`),
  }
}
