import {
  type Answer,
  type Input,
  type Item,
  type ListRoute,
  type Maybe,
  type Place,
  type Route,
  targetOf,
} from '../api-client/route.ts'
import type { System } from '../lib/system.ts'
import { ApiError, CliError, EXIT } from './cli-error.ts'
import { readFailure, readJson, unreachable } from './http-answer.ts'
import { sendBody } from './http-upload.ts'
import { createServerClock, type ServerClock } from './server-clock.ts'

/** Speaks to one server. Every method throws an ApiError for a refusal and a CliError when there is no answer. */
export interface Client {
  readonly origin: string
  /** Asks a route, and answers what comes back: undefined for 204. */
  call<R extends Route>(route: R, ...input: Maybe<Input<R> & SendOptions>): Promise<Answer<R>>
  /** The same, with the entity tag that `ifMatch` takes. */
  callTagged<R extends Route>(route: R, ...input: Maybe<Input<R> & SendOptions>): Promise<Tagged<Answer<R>>>
  /** Every item of a list, page after page, at most `most`. */
  list<R extends ListRoute>(route: R, ...input: Maybe<Input<R> & ListOptions>): Promise<Item<R>[]>
  /** One page of a list: the first, or the one whose path is `at`. */
  page<R extends ListRoute>(route: R, input: Place<R>, at?: string): Promise<ListPage<Item<R>>>
  /** Streams a body up, however long that takes. */
  upload<R extends Route>(
    route: R,
    input: Place<R> & { contentType: string; body: AsyncIterable<Uint8Array> },
  ): Promise<Answer<R>>
  /** The server's time, in milliseconds since the epoch; this machine's when the server does not tell. Asks it unless it has answered already. */
  serverTime(): Promise<number>
  /** The answer itself, also a refusal. */
  fetch(method: string, path: string, options?: FetchOptions): Promise<Response>
}

export interface SendOptions {
  /** Makes it safe to send again when the answer is lost. */
  idempotencyKey?: string
  /** The entity tag of what was read: when it has changed since, the server refuses (PRECONDITION_FAILED). */
  ifMatch?: string | undefined
}

export interface Tagged<T> {
  value: T
  etag: string | undefined
}

export interface ListOptions {
  /** How many items are wanted. */
  most?: number
}

export interface ListPage<One> {
  /** Its own path. */
  path: string
  items: One[]
  /** The path of the next one. */
  next: string | undefined
}

export interface FetchOptions {
  headers?: Readonly<Record<string, string>>
  body?: string
  /** Without it the call is given up after a while. */
  unlimited?: boolean
  signal?: AbortSignal
}

export interface ClientOptions {
  origin: string
  token: string | undefined
  system: System
  version: string
  signal: AbortSignal
  /** What earlier answers of the server have told. */
  clock?: ServerClock
}

const ANSWER_MS = 60_000
/** A server that restarts or is busy says when to come back; longer waits are the user's to decide on. */
const LONGEST_WAIT_SECONDS = 15
const MOST_TRIES = 4
const MOST_PAGES = 1000

/** Makes a client of the server at `origin`. Redirects are not followed, so that a token never goes elsewhere. */
export function createClient(options: ClientOptions): Client {
  const { origin, system, signal, clock = createServerClock(options.system) } = options

  const fetchOnce: Client['fetch'] = async (method, path, { headers, body, unlimited, signal: own } = {}) => {
    const url = new URL(origin + path)
    if (url.origin !== origin) throw new CliError(`${path} is not a path of the server`)
    const signals = [signal, ...(own ? [own] : []), ...(unlimited ? [] : [AbortSignal.timeout(ANSWER_MS)])]
    try {
      const answer = await fetch(url, {
        method,
        headers: { ...baseHeaders(options), ...headers },
        redirect: 'manual',
        signal: AbortSignal.any(signals),
        ...(body === undefined ? {} : { body }),
      })
      clock.see(answer)
      return answer
    } catch (error) {
      throw own?.aborted ? own.reason : unreachable(origin, error, signal)
    }
  }

  const ask = async <T>(
    method: string,
    path: string,
    { body, idempotencyKey: key, ifMatch }: Sent = {},
  ): Promise<Received<T>> => {
    const init: FetchOptions = {
      headers: {
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...(key === undefined ? {} : { 'idempotency-key': key }),
        ...(ifMatch === undefined ? {} : { 'if-match': ifMatch }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    }
    const mayRepeat = method === 'GET' || key !== undefined
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await readAnswer<T>(origin, await fetchOnce(method, path, init), signal)
      } catch (error) {
        const seconds = mayRepeat && attempt < MOST_TRIES ? retryAfter(error) : undefined
        if (seconds === undefined) throw error
        await system.sleep(seconds * 1000, signal)
      }
    }
  }

  const fetchPage = async <One>(path: string): Promise<ListPage<One>> => {
    const { value, next } = await ask<One[]>('GET', path)
    if (!Array.isArray(value)) throw new CliError(`${origin} answered ${path} with something that is no list`)
    return { path, items: value, next }
  }

  return {
    origin,
    fetch: fetchOnce,
    serverTime: async () => {
      // What is answered does not matter, only when.
      if (clock.now() === undefined) await (await fetchOnce('GET', '/v1/me')).body?.cancel()
      return clock.now() ?? system.now()
    },
    call: async (route, ...[input]) => {
      const { method, path } = targetOf(route, ...([input] as Maybe<Place<typeof route>>))
      return (await ask<Answer<typeof route>>(method, path, input)).value
    },
    callTagged: async (route, ...[input]) => {
      const { method, path } = targetOf(route, ...([input] as Maybe<Place<typeof route>>))
      return ask<Answer<typeof route>>(method, path, input)
    },
    list: async (route, ...[input]) => {
      type One = Item<typeof route>
      const { query, most = Number.POSITIVE_INFINITY } = (input ?? {}) as { query?: object } & ListOptions
      const first = { ...input, query: { limit: Math.min(1000, most), ...query } }
      const { path } = targetOf(route, ...([first] as unknown as Maybe<Place<typeof route>>))
      const items: One[] = []
      let next: string | undefined = path
      for (let page = 0; next !== undefined && items.length < most && page < MOST_PAGES; page += 1) {
        const answer: ListPage<One> = await fetchPage<One>(next)
        items.push(...answer.items)
        next = answer.next
      }
      return items.slice(0, most)
    },
    page: (route, input, at) =>
      fetchPage<Item<typeof route>>(at ?? targetOf(route, ...([input] as Maybe<Place<typeof route>>)).path),
    upload: async (route, input) => {
      const { method, path } = targetOf(route, ...([input] as Maybe<Place<typeof route>>))
      const headers = { ...baseHeaders(options), 'content-type': input.contentType }
      try {
        const response = await sendBody(new URL(origin + path), method, headers, input.body, signal)
        return (await readAnswer<Answer<typeof route>>(origin, response, signal)).value
      } catch (error) {
        throw unreachable(origin, error, signal)
      }
    },
  }
}

type Sent = { body?: unknown } & SendOptions

interface Received<T> extends Tagged<T> {
  /** The path of the next page. */
  next: string | undefined
}

async function readAnswer<T>(origin: string, response: Response, signal: AbortSignal): Promise<Received<T>> {
  if (!response.ok) throw new ApiError(await readFailure(origin, response))
  try {
    return {
      value: (await readJson(origin, response)) as T,
      etag: response.headers.get('etag') ?? undefined,
      next: nextPage(response.headers.get('link')),
    }
  } catch (error) {
    if (error instanceof CliError) throw error
    throw unreachable(origin, error, signal)
  }
}

function baseHeaders({ token, version }: ClientOptions): Record<string, string> {
  return {
    accept: 'application/json',
    'user-agent': `berth-cli/${version}`,
    ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
  }
}

/** Seconds to wait before the call is repeated; undefined when that would not help. */
function retryAfter(error: unknown): number | undefined {
  if (!(error instanceof ApiError) || error.exit !== EXIT.unavailable) return undefined
  const seconds = error.failure.retry_after_seconds
  return seconds !== undefined && seconds <= LONGEST_WAIT_SECONDS ? seconds : undefined
}

/** `<path>; rel="next"` of a Link header (RFC 8288). */
function nextPage(link: string | null): string | undefined {
  const target = /<([^>]*)>\s*;[^,]*\brel="?next"?/.exec(link ?? '')?.[1]
  return target?.startsWith('/') ? target : undefined
}
