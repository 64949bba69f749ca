import { UsageError } from './cli-error.ts'
import type { Terminal } from './terminal.ts'

export const SHORTEST_PASSWORD = 12

/** A password that is yet to be set: from stdin, else typed twice. */
export async function readNewPassword(
  terminal: Terminal,
  fromStdin: boolean,
  whose: string,
): Promise<string> {
  const password = fromStdin ? await terminal.readSecret() : await askTwice(terminal, whose)
  if (password.length < SHORTEST_PASSWORD)
    throw new UsageError(`the password needs at least ${SHORTEST_PASSWORD} characters`)
  return password
}

async function askTwice(terminal: Terminal, whose: string): Promise<string> {
  if (!terminal.interactive) throw new UsageError('give the new password: --password-stdin')
  const password = await terminal.askSecret(
    `New password of ${whose} (at least ${SHORTEST_PASSWORD} characters):`,
  )
  if (password !== (await terminal.askSecret('The same again:')))
    throw new UsageError('the two were not the same')
  return password
}
