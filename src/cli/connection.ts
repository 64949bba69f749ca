import { CliError, EXIT, UsageError } from './cli-error.ts'
import type { Context, Contexts } from './context-file.ts'
import type { Environment } from './environment.ts'

/** Which server to speak to, and as whom. */
export interface Connection {
  origin: string
  token: string | undefined
  /** The saved login that it comes from. */
  context?: { name: string } & Context
}

/** Where a daemon listens unless it is configured otherwise. */
export const DEFAULT_URL = 'http://127.0.0.1:7180'

/**
 * Finds the server: `--context`, else BERTH_URL and BERTH_TOKEN, else BERTH_CONTEXT, else the saved choice. A saved token only ever goes to
 * the server that it was made for.
 */
export function findConnection(
  environment: Environment,
  saved: Contexts,
  flag: string | undefined,
): Connection {
  if (flag !== undefined) return fromContext(namedContext(saved, flag))
  const chosen =
    environment.context === undefined ? savedChoice(saved) : namedContext(saved, environment.context)
  if (environment.url === undefined) {
    if (!chosen) throw notSignedIn(undefined)
    return {
      ...fromContext(chosen),
      ...(environment.token === undefined ? {} : { token: environment.token }),
    }
  }
  const origin = readOrigin(environment.url)
  if (environment.token !== undefined) return { origin, token: environment.token }
  const same = [chosen, ...contextsOf(saved)].find((each) => each && originOf(each) === origin)
  return same ? fromContext(same) : { origin, token: undefined }
}

type NamedContext = { name: string } & Context

function contextsOf({ contexts }: Contexts): NamedContext[] {
  return Object.entries(contexts).map(([name, context]) => Object.assign({ name }, context))
}

function savedChoice(saved: Contexts): NamedContext | undefined {
  const all = contextsOf(saved)
  return all.find(({ name }) => name === saved.current) ?? (all.length === 1 ? all[0] : undefined)
}

/** The saved login of this name. Throws a UsageError when there is none. */
export function namedContext(saved: Contexts, name: string): NamedContext {
  const found = contextsOf(saved).find((each) => each.name === name)
  if (found) return found
  const known = Object.keys(saved.contexts)
  throw new UsageError(`there is no saved login ${name}`, [
    known.length === 0 ? 'There is none at all yet: berth login URL' : `Known: ${known.join(', ')}`,
  ])
}

function fromContext(context: NamedContext): Connection {
  return { origin: originOf(context), token: context.token, context }
}

function originOf({ url }: Context): string {
  return new URL(url).origin
}

/** The failure of whoever needs a login and has none. */
export function notSignedIn(origin: string | undefined): CliError {
  return new CliError(
    origin === undefined ? 'you are not signed in to any server' : `you are not signed in to ${origin}`,
    {
      exit: EXIT.refused,
      hints: [`Sign in: berth login ${origin ?? 'URL'}`],
    },
  )
}

/** The origin of a server that the user names, with or without a scheme. Throws a UsageError. */
export function readOrigin(given: string): string {
  const hasScheme = /^[a-z][a-z0-9+.-]*:\/\//i.test(given)
  const text = hasScheme ? given : `${isLoopback(hostOf(given)) ? 'http' : 'https'}://${given}`
  if (!URL.canParse(text)) throw new UsageError(`${given} is not the address of a server`)
  const url = new URL(text)
  if (url.protocol !== 'http:' && url.protocol !== 'https:')
    throw new UsageError(`${given}: only http and https are spoken`)
  if (url.username !== '' || url.password !== '')
    throw new UsageError('leave user name and password out of the address')
  if (url.pathname !== '/' || url.search !== '' || url.hash !== '')
    throw new UsageError(`${given}: leave out what follows the host and port`)
  return url.origin
}

function hostOf(address: string): string {
  return URL.canParse(`http://${address}`) ? new URL(`http://${address}`).hostname : ''
}

/** Whether the host is this machine, so that nobody listens on the way. */
export function isLoopback(hostname: string): boolean {
  return /^(localhost|.*\.localhost|127(\.\d{1,3}){3}|\[::1\])$/.test(hostname)
}
