import { CliError, isApiError, LoginRefused } from './cli-error.ts'
import { type Client, createClient } from './client.ts'
import { createServerClock, type ServerClock } from './server-clock.ts'
import type { Surroundings } from './verb.ts'
import { VERSION } from './version.ts'
import type { LoginAnswer } from './wire.ts'

/** A client with a session of its own. */
export interface Session {
  client: Client
  answer: LoginAnswer
}

type Needs = Pick<Surroundings, 'system' | 'signal'>

/** A client of a server that is not, or not yet, among the saved ones. */
export function clientFor(
  { system, signal }: Needs,
  origin: string,
  token: string | undefined,
  clock: ServerClock = createServerClock(system),
): Client {
  return createClient({ origin, token, system, signal, version: VERSION, clock })
}

/** Signs in. Throws a LoginRefused when name or password is wrong. */
export async function openSession(
  needs: Needs,
  origin: string,
  username: string,
  password: string,
): Promise<Session> {
  const clock = createServerClock(needs.system)
  const answer = await clientFor(needs, origin, undefined, clock)
    .call('POST /v1/auth/login', { body: { username, password } })
    .catch((error: unknown) => {
      throw isApiError(error, 'UNAUTHENTICATED') ? new LoginRefused(error.failure) : error
    })
  const { token } = answer
  if (token === undefined) throw new CliError(`${origin} signed you in without a token`)
  return { answer: { ...answer, token }, client: clientFor(needs, origin, token, clock) }
}

/** Does what only a signed-in person may: with the saved login, or, if that is an API token, with a session just for this. */
export async function withSession<T>(
  call: Surroundings,
  client: Client,
  act: (client: Client) => Promise<T>,
): Promise<T> {
  try {
    return await act(client)
  } catch (error) {
    if (!isApiError(error, 'SESSION_REQUIRED') || !call.terminal.interactive) throw error
  }
  const { principal } = await client.call('GET /v1/me')
  call.output.note('The server wants to know that it is you.')
  const password = await call.terminal.askSecret(`Password of ${principal.username}:`)
  const session = await openSession(call, client.origin, principal.username, password)
  try {
    return await act(session.client)
  } finally {
    await endSession(session.client)
  }
}

/** Ends a session that is not needed any more; it would end by itself too. */
export async function endSession(client: Client): Promise<void> {
  await client.call('POST /v1/auth/logout').catch(() => {})
}
