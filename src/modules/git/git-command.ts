import { type ChildLimits, runChild } from './child-process.ts'
import { GitCommandFailed } from './git-failure.ts'

export interface GitCommand {
  args: readonly string[]
  cwd: string
  env: Readonly<Record<string, string>>
  limits: ChildLimits
  /** Given what it prints; without it, the output is answered. */
  onOutput?: (chunk: Buffer) => void
  /** Given each line of its standard error. */
  onLine?: (line: string) => void
  signal: AbortSignal
}

const LAST_LINES = 40
/** Of output that is answered as text: refs, a commit. */
const MAX_OUTPUT = 1024 * 1024
const PROGRESS = /^(remote: )?[A-Z][A-Za-z ]+: +\d+(%|, done|$)/

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

/** Whether a line only tells how far git is. */
export function isProgress(line: string): boolean {
  return PROGRESS.test(line)
}
