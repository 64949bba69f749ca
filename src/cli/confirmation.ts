import { CliError, UsageError } from './cli-error.ts'
import type { Surroundings } from './verb.ts'

/** Asks before something is removed for good. Throws when the answer is no, or when nobody can be asked and `yes` was not given. */
export async function confirmRemoval({ terminal }: Surroundings, yes: boolean, what: string): Promise<void> {
  if (yes) return
  if (!terminal.interactive) throw new UsageError(`to remove ${what} without being asked, add --yes`)
  if (!(await terminal.confirm(`Remove ${what} for good?`))) throw new CliError('nothing was removed')
}
