import { type ChildLimits, runChild } from './child-process.ts'
import { GitCommandFailed } from './git-failure.ts'

export interface GitCommand {
  args: readonly string[]
  cwd: string
  env: Readonly<Record<string, string>>
  limits: ChildLimits
  /** Given what it prints, all of it; without it, the output is answered. */
  onOutput?: (chunk: Buffer) => void
  /** Given each line of its standard error. */
  onLine?: (line: string) => void
  signal: AbortSignal
}

const LAST_LINES = 40
/** Of output that is answered as text: refs, a commit. */
const MAX_OUTPUT = 1024 * 1024
const LONGEST_NAME = 8192
const PROGRESS = /^(remote: )?([A-Z][A-Za-z ]+: +\d+(%|, done|$)|Total \d+ )/

/** Runs git and answers what it printed, at most 1 MiB of it. Throws GitCommandFailed, or the signal's reason. */
export async function runGit(command: GitCommand): Promise<string> {
  const last: string[] = []
  const printed: Buffer[] = []
  let bytes = 0
  const keep = (chunk: Buffer): void => {
    if (bytes < MAX_OUTPUT) printed.push(chunk.subarray(0, MAX_OUTPUT - bytes))
    bytes += chunk.length
  }
  const { code } = await runChild({
    program: 'git',
    args: ['--no-pager', ...command.args],
    cwd: command.cwd,
    env: command.env,
    limits: command.limits,
    signal: command.signal,
    onOutput: command.onOutput ?? keep,
    onLine: (line) => {
      command.onLine?.(line)
      if (isProgress(line)) return
      last.push(line)
      if (last.length > LAST_LINES) last.shift()
    },
  })
  if (code !== 0) throw new GitCommandFailed(last)
  return Buffer.concat(printed).toString()
}

/** Cuts output at its line feeds, however much of it there is; what is longer than a name may be is left out. */
export function createOutputLines(onLine: (line: string) => void): (chunk: Buffer) => void {
  let rest = Buffer.alloc(0)
  let isTooLong = false
  return (chunk) => {
    let at = 0
    for (let end = chunk.indexOf(0x0a); end !== -1; end = chunk.indexOf(0x0a, at)) {
      if (!isTooLong) onLine(Buffer.concat([rest, chunk.subarray(at, end)]).toString())
      rest = Buffer.alloc(0)
      isTooLong = false
      at = end + 1
    }
    rest = Buffer.concat([rest, chunk.subarray(at)])
    if (rest.length > LONGEST_NAME) isTooLong = true
    if (isTooLong) rest = Buffer.alloc(0)
  }
}

/** Whether a line only tells how far git is. */
export function isProgress(line: string): boolean {
  return PROGRESS.test(line)
}
