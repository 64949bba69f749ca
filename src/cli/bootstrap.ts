import { readFile } from 'node:fs/promises'
import { CliError, UsageError } from './cli-error.ts'
import { isLoopback } from './connection.ts'
import { readNewPassword } from './new-password.ts'
import { clientFor } from './session.ts'
import type { Surroundings } from './verb.ts'

/** Who was just made the first administrator. */
export interface FirstAdmin {
  username: string
  password: string
}

const USUAL_NAME = 'admin'

/** Makes the first administrator, with the install admin token. */
export async function bootstrap(
  call: Surroundings,
  origin: string,
  adminToken: string,
  given: { username: string | undefined; passwordFromStdin: boolean },
): Promise<FirstAdmin> {
  const { terminal, output } = call
  if (given.username === undefined && !terminal.interactive)
    throw new UsageError('name the first administrator: --username NAME')
  const username = given.username ?? (await terminal.ask('User name of the first administrator:', USUAL_NAME))
  const password = await readNewPassword(terminal, given.passwordFromStdin, username)
  await clientFor(call, origin, adminToken).call('POST /v1/bootstrap', { body: { username, password } })
  output.note(`${username} is the first administrator.`)
  return { username, password }
}

/**
 * The install admin token of a server on this machine that has no administrator yet; undefined when the server is elsewhere or has one, or when
 * the token cannot be read.
 */
export async function findFreshServerToken(call: Surroundings, origin: string): Promise<string | undefined> {
  if (!isLoopback(new URL(origin).hostname)) return undefined
  for (const file of call.environment.adminTokenFiles) {
    const token = await readToken(file)
    if (token !== undefined && (await isFresh(call, origin, token))) return token
  }
  return undefined
}

async function readToken(file: string): Promise<string | undefined> {
  try {
    return checkToken(await readFile(file, 'utf8'))
  } catch {
    // Not there, or for other eyes only: then the server is not ours to set up.
    return undefined
  }
}

async function isFresh(call: Surroundings, origin: string, token: string): Promise<boolean> {
  try {
    return !(await clientFor(call, origin, token).call('GET /v1/me')).admin_initialized
  } catch (error) {
    if (call.signal.aborted || !(error instanceof CliError)) throw error
    // It may be another server's token; the login itself will tell what is wrong.
    return false
  }
}

/** A token as it can stand in a header. Throws a UsageError that does not repeat it. */
export function checkToken(text: string): string {
  const token = text.trim()
  if (!/^[\x21-\x7e]{1,4096}$/.test(token))
    throw new UsageError('that is no token: a token has no spaces or line ends within')
  return token
}
