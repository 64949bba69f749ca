import { readFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { messageOf } from '../../lib/errors.ts'
import { bootstrap, checkToken, findFreshServerToken } from '../bootstrap.ts'
import { ApiError, CliError, EXIT, isApiError, LoginRefused, UsageError } from '../cli-error.ts'
import { DEFAULT_URL, findConnection, isLoopback, readOrigin } from '../connection.ts'
import type { Context } from '../context-file.ts'
import { serverNow } from '../moment.ts'
import { clientFor, endSession, openSession, type Session } from '../session.ts'
import { type Call, defineVerb, type Flags } from '../verb.ts'
import type { Me, MintedToken } from '../wire.ts'
import { endLogin } from './logout.ts'

const OPTIONS = {
  username: { type: 'string', short: 'u', value: 'NAME', about: 'Your user name' },
  'password-stdin': { type: 'boolean', about: 'Read the password from stdin' },
  'token-stdin': { type: 'boolean', about: 'Read an API token, or the install admin token, from stdin' },
  'token-file': {
    type: 'string',
    value: 'FILE',
    about: 'Read an API token, or the install admin token, from a file',
  },
  session: {
    type: 'boolean',
    about: 'Keep the session itself instead of an API token: it ends sooner, and may manage users',
  },
  name: {
    type: 'string',
    value: 'NAME',
    about: 'Save the login under this name instead of the host name of the server',
  },
} as const

type LoginCall = Call<typeof OPTIONS>

/** How long the API token of a login lasts. */
const TOKEN_DAYS = 90
const DAY_MS = 24 * 60 * 60 * 1000

export const login = defineVerb({
  usage: 'login [URL]',
  about:
    `Signs in with user name and password and saves the login. What is saved is an API token named after this machine, good for ${TOKEN_DAYS} days; berth logout revokes it. ` +
    'Without URL: the server of the last login, else http://127.0.0.1:7180.\n' +
    'On a server without users the first administrator is made, with the install admin token: on the server itself it is found in the data directory, from elsewhere it is given with --token-stdin or --token-file.',
  options: OPTIONS,
  operands: [0, 1],
  examples: [
    'berth login https://apps.example.com',
    'berth login 127.0.0.1:7180 --username alice --password-stdin < password-file',
    'berth login https://apps.example.com --token-stdin < token-file',
  ],
  run: async (call) => {
    const { flags, output, contexts } = call
    checkFlags(flags)
    const origin = await findOrigin(call)
    warnOfPlainText(call, origin)
    const context = await signIn(call, origin)
    const name = flags.name ?? call.contextName ?? new URL(origin).host
    if (!/^[\w.:[\]-]{1,100}$/.test(name)) throw new UsageError(`${name} is not a name for a login`)
    const before = (await contexts.read()).contexts[name]
    await contexts.change((saved) => {
      saved.contexts[name] = context
      saved.current = name
    })
    if (before?.url === origin && before.token !== context.token && before.kind !== undefined)
      await endLogin(call, before)
    const { url, kind, username, expires_at } = context
    output.data({ context: name, url, kind, username, expires_at }, () => '')
    output.note(`Signed in to ${origin} as ${context.username ?? '?'}.`)
  },
})

function checkFlags(flags: Flags<typeof OPTIONS>): void {
  const ways = [
    flags['password-stdin'],
    flags['token-stdin'],
    flags['token-file'] !== undefined && !flags['password-stdin'],
  ]
  if (ways.filter(Boolean).length > 1)
    throw new UsageError('--password-stdin, --token-stdin and --token-file contradict each other')
}

async function findOrigin({ operands, environment, contexts, contextName }: LoginCall): Promise<string> {
  const given = operands[0] ?? environment.url
  if (given !== undefined) return readOrigin(given)
  try {
    return findConnection({ ...environment, token: undefined }, await contexts.read(), contextName).origin
  } catch (error) {
    if (error instanceof CliError && error.exit === EXIT.refused) return DEFAULT_URL
    throw error
  }
}

function warnOfPlainText({ output }: LoginCall, origin: string): void {
  const { protocol, hostname } = new URL(origin)
  if (protocol === 'http:' && !isLoopback(hostname)) {
    output.warn(`${origin} is not encrypted: whoever is on the way can read password and token`)
  }
}

async function signIn(call: LoginCall, origin: string): Promise<Context> {
  const { flags, terminal, output } = call
  const token = await readGivenToken(call)
  const given = { username: flags.username, passwordFromStdin: flags['password-stdin'] }
  if (token !== undefined) {
    const me = await whoHas(call, origin, token)
    if (me.principal.kind !== 'admin_token') return { url: origin, token, username: me.principal.username }
    if (me.admin_initialized) {
      throw new CliError(
        'the install admin token is for recovering access only, and is not saved as a login',
        {
          exit: EXIT.refused,
          hints: [
            'Sign in with a user name and password.',
            'To use the token all the same, set BERTH_TOKEN for one command.',
          ],
        },
      )
    }
    return signInAs(call, origin, await bootstrap(call, origin, token, given))
  }
  const canAnswer = terminal.interactive || (flags.username !== undefined && flags['password-stdin'])
  const fresh = canAnswer ? await findFreshServerToken(call, origin) : undefined
  if (fresh !== undefined) {
    output.note(`${origin} has no users yet: you make the first administrator now.`)
    return signInAs(call, origin, await bootstrap(call, origin, fresh, given))
  }
  const credentials = await readCredentials(call, origin)
  try {
    return await signInAs(call, origin, credentials)
  } catch (error) {
    throw error instanceof LoginRefused
      ? new LoginRefused(error.failure, await firstLoginHints(call, origin, credentials))
      : error
  }
}

async function whoHas(call: LoginCall, origin: string, token: string): Promise<Me> {
  try {
    return await clientFor(call, origin, token).call('GET /v1/me')
  } catch (error) {
    if (!isApiError(error, 'UNAUTHENTICATED')) throw error
    throw new LoginRefused({ ...error.failure, message: `${origin} does not know that token` })
  }
}

/** A server without users refuses everybody. That it has none, only the install admin token can tell, and it was not found. */
async function firstLoginHints(
  { contexts, environment }: LoginCall,
  origin: string,
  { username }: Credentials,
): Promise<string[]> {
  const saved = Object.values((await contexts.read()).contexts)
  if (saved.some(({ url }) => url === origin) || !isLoopback(new URL(origin).hostname)) return []
  return [
    'If the server has no users yet, the first login makes the administrator, with the token in its data directory:',
    `berth login ${origin} --username ${username} --password-stdin --token-file ${environment.adminTokenFiles[0]}`,
    'Where its configuration or BERTH_ADMIN_TOKEN says admin_token, that is the token, and there is no such file.',
  ]
}

async function readGivenToken({ directory, flags, terminal }: LoginCall): Promise<string | undefined> {
  if (flags['token-stdin']) return checkToken(await terminal.readSecret())
  const file = flags['token-file']
  if (file === undefined) return undefined
  try {
    return checkToken(await readFile(resolve(directory, file), 'utf8'))
  } catch (error) {
    throw error instanceof CliError ? error : new UsageError(`cannot read ${file}: ${messageOf(error)}`)
  }
}

interface Credentials {
  username: string
  password: string
}

async function readCredentials(
  { flags, terminal, contexts }: LoginCall,
  origin: string,
): Promise<Credentials> {
  if (!terminal.interactive && (flags.username === undefined || !flags['password-stdin'])) {
    throw new UsageError('nobody can be asked: give --username NAME --password-stdin, or --token-stdin')
  }
  const before = Object.values((await contexts.read()).contexts).find(({ url }) => url === origin)
  const username = flags.username ?? (await terminal.ask(`User name on ${origin}:`, before?.username))
  if (username === '') throw new UsageError('a user name is needed')
  const password = flags['password-stdin']
    ? await terminal.readSecret()
    : await terminal.askSecret('Password:')
  return { username, password }
}

async function signInAs(
  call: LoginCall,
  origin: string,
  { username, password }: Credentials,
): Promise<Context> {
  const session = await openSession(call, origin, username, password)
  const { token, expires_at, user } = session.answer
  const common = { url: origin, username: user.username }
  let isKept = false
  try {
    const minted = call.flags.session ? undefined : await mint(call, session)
    if (!minted) {
      isKept = true
      return { ...common, kind: 'session', token, expires_at }
    }
    return {
      ...common,
      kind: 'api_token',
      token: minted.token,
      token_id: minted.id,
      ...(minted.expires_at === null ? {} : { expires_at: minted.expires_at }),
    }
  } finally {
    if (!isKept) await endSession(session.client)
  }
}

/** An API token in place of the session; undefined when this user may have none. */
async function mint(call: LoginCall, { client }: Session): Promise<MintedToken | undefined> {
  const { environment, output } = call
  const now = await serverNow(call, client)
  try {
    return await client.call('POST /v1/api-tokens', {
      body: {
        name: `berth on ${environment.hostname}`.replaceAll(/[^\x20-\x7e]/g, '?').slice(0, 100),
        expires_at: new Date(now + TOKEN_DAYS * DAY_MS).toISOString(),
      },
    })
  } catch (error) {
    if (!(error instanceof ApiError) || error.exit !== EXIT.refused) throw error
    output.note('You may not make API tokens: the session itself is kept.')
    return undefined
  }
}
