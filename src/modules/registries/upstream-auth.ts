import type { IncomingMessage } from 'node:http'
import { UpstreamFailed } from '../../lib/upstream-failed.ts'
import { type AskUpstream } from './upstream-request.ts'
import { readSmall } from './upstream-body.ts'

/** What is shown to an external registry. */
export type UpstreamCredentials =
  | { kind: 'anonymous' }
  | { kind: 'basic'; username: string; password: string }
  | { kind: 'token'; token: string }

/** A way in that a 401 offers (RFC 9110, section 11.6.1). */
export interface Challenge {
  scheme: 'bearer' | 'basic'
  parameters: Readonly<Record<string, string>>
}

const MAX_TOKEN_BYTES = 1024 ** 2

/** The challenges of `WWW-Authenticate` that registries use; others are passed over. */
export function readChallenges(headers: readonly string[]): Challenge[] {
  const starts = [...headers.join(', ').matchAll(/(?:^|,)\s*(bearer|basic)(?:\s+|$)/gi)]
  const text = headers.join(', ')
  return starts.map((start, index) => {
    const rest = text.slice(start.index + start[0].length, starts[index + 1]?.index)
    // The boundary keeps it linear: without it a long word is read again from each of its letters.
    const parameters = [...rest.matchAll(/\b([a-z_]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s",]+))/gi)].map(
      ([, name = '', quoted, bare = '']) => [
        name.toLowerCase(),
        quoted === undefined ? bare : quoted.replaceAll(/\\(.)/g, '$1'),
      ],
    )
    return {
      scheme: start[1]?.toLowerCase() === 'basic' ? 'basic' : 'bearer',
      parameters: Object.fromEntries(parameters) as Record<string, string>,
    }
  })
}

/**
 * Answers the challenge of a refusal with the value of an Authorization header: by a token of the registry's token service (distribution
 * token specification), else by Basic. Undefined when no way in is offered that the credentials fit. Throws UpstreamFailed.
 */
export async function answerChallenge(
  ask: AskUpstream,
  refusal: IncomingMessage,
  wanted: { endpoint: URL; scope: string; credentials: UpstreamCredentials },
  signal: AbortSignal,
): Promise<string | undefined> {
  const challenges = readChallenges(refusal.headersDistinct['www-authenticate'] ?? [])
  const bearer = challenges.find(({ scheme }) => scheme === 'bearer')
  const { credentials } = wanted
  if (bearer) return `Bearer ${await fetchToken(ask, bearer, wanted, signal)}`
  return challenges.length > 0 && credentials.kind === 'basic' ? basicOf(credentials) : undefined
}

function basicOf({ username, password }: { username: string; password: string }): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`
}

async function fetchToken(
  ask: AskUpstream,
  { parameters }: Challenge,
  { endpoint, scope, credentials }: { endpoint: URL; scope: string; credentials: UpstreamCredentials },
  signal: AbortSignal,
): Promise<string> {
  const url = URL.parse(parameters['realm'] ?? '')
  // A token service of a registry that is asked over TLS gets no password without it.
  if (url === null || (url.protocol !== 'https:' && url.protocol !== endpoint.protocol))
    throw new UpstreamFailed(`${endpoint.host} names no token service that could be asked`)
  const form = new URLSearchParams({
    ...(parameters['service'] && { service: parameters['service'] }),
    scope,
  })
  const answer =
    credentials.kind === 'token'
      ? await postRefresh(ask, url, form, credentials.token, signal)
      : await ask(
          {
            method: 'GET',
            url: withQuery(url, form),
            headers: credentials.kind === 'basic' ? { authorization: basicOf(credentials) } : {},
          },
          signal,
        )
  return readToken(answer, url)
}

/** The OAuth2 variant: what was given as a token is one that lives long and is exchanged. */
function postRefresh(
  ask: AskUpstream,
  url: URL,
  form: URLSearchParams,
  token: string,
  signal: AbortSignal,
): Promise<IncomingMessage> {
  const body = new URLSearchParams({
    grant_type: 'refresh_token',
    client_id: 'berth',
    refresh_token: token,
    ...Object.fromEntries(form),
  }).toString()
  const headers = {
    'content-type': 'application/x-www-form-urlencoded',
    'content-length': String(Buffer.byteLength(body)),
  }
  return ask({ method: 'POST', url, headers, body }, signal)
}

function withQuery(url: URL, form: URLSearchParams): URL {
  const asked = new URL(url)
  for (const [name, value] of form) asked.searchParams.append(name, value)
  return asked
}

async function readToken(answer: IncomingMessage, { host }: URL): Promise<string> {
  const status = answer.statusCode ?? 0
  if (status !== 200) {
    answer.destroy()
    if (status === 401 || status === 403) throw new UpstreamFailed(`${host} refuses the credentials`)
    throw new UpstreamFailed(`${host} answers ${status} when asked for a token`, { isPassing: status >= 500 })
  }
  const text = (await readSmall(answer, MAX_TOKEN_BYTES)).toString()
  const token = tokenIn(text)
  if (token === undefined) throw new UpstreamFailed(`${host} answers without a token`)
  return token
}

function tokenIn(text: string): string | undefined {
  try {
    const { token, access_token } = JSON.parse(text) as Record<string, unknown>
    const found = token ?? access_token
    return typeof found === 'string' && /^[\x21-\x7e]+$/.test(found) ? found : undefined
  } catch {
    return undefined
  }
}
