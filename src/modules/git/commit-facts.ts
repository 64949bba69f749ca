import type { ChildLimits } from './child-process.ts'
import { runGit } from './git-command.ts'
import { showText } from './git-failure.ts'

/** The commit that a release was made from. */
export interface CommitFacts {
  sha: string
  /** The whole name of the ref; null when a commit was asked for. */
  ref: string | null
  author: string
  /** The first line. */
  message: string
}

const LONGEST = { author: 200, message: 500 } as const
const LIMITS: ChildLimits = { memory_bytes: 2 * 1024 ** 3, file_bytes: 1024 ** 2 }

/** Reads what a commit says of itself. Whoever wrote it may have put anything there: it is cut and made safe to show. */
export async function readCommit(
  repository: string,
  env: Readonly<Record<string, string>>,
  commit: { sha: string; ref: string | null },
  signal: AbortSignal,
): Promise<CommitFacts> {
  const printed = await runGit({
    // Not `git show`: it compares the whole tree with nothing, also when it is not to show that.
    args: ['rev-list', '--max-count=1', '--format=%an%x00%s', '--end-of-options', commit.sha],
    cwd: repository,
    env,
    limits: LIMITS,
    signal,
  })
  // Behind a line that names the commit.
  const [author = '', subject = ''] = printed.slice(printed.indexOf('\n') + 1).split('\0')
  return {
    ...commit,
    author: showText(author, LONGEST.author),
    message: showText(subject, LONGEST.message),
  }
}
