import type { System } from '../lib/system.ts'
import { ApiError, CliError, EXIT } from './cli-error.ts'
import { readFailure, readJson, unreachable } from './http-answer.ts'
import { sendBody } from './http-upload.ts'

/** Speaks to one server. Every method throws an ApiError for a refusal and a CliError when there is no answer. */
export interface Client {
  readonly origin: string
  get<T>(path: string, query?: Query): Promise<T>
  /** Every item of a list, page after page, at most `most`. */
  list<T>(path: string, query?: Query, most?: number): Promise<T[]>
  /** Sends JSON, or nothing, and answers what comes back: undefined when that is empty. */
  send<T>(method: Method, path: string, body?: unknown, options?: SendOptions): Promise<T>
  /** Streams a body up, however long that takes. */
  upload<T>(path: string, contentType: string, body: AsyncIterable<Uint8Array>): Promise<T>
  /** The answer itself, also a refusal. */
  fetch(method: string, path: string, options?: FetchOptions): Promise<Response>
}

export type Method = 'POST' | 'PUT' | 'PATCH' | 'DELETE'
export type Query = Readonly<Record<string, string | number | undefined>>

export interface SendOptions {
  /** Makes it safe to send again when the answer is lost. */
  idempotencyKey?: string
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
}

const ANSWER_MS = 60_000
/** A server that restarts or is busy says when to come back; longer waits are the user's to decide on. */
const LONGEST_WAIT_SECONDS = 15
const MOST_TRIES = 4
const MOST_PAGES = 1000

/** Makes a client of the server at `origin`. Redirects are not followed, so that a token never goes elsewhere. */
export function createClient(options: ClientOptions): Client {
  const { origin, system, signal } = options

  const fetchOnce: Client['fetch'] = async (method, path, { headers, body, unlimited, signal: own } = {}) => {
    const url = new URL(origin + path)
    if (url.origin !== origin) throw new CliError(`${path} is not a path of the server`)
    const signals = [signal, ...(own ? [own] : []), ...(unlimited ? [] : [AbortSignal.timeout(ANSWER_MS)])]
    try {
      return await fetch(url, {
        method,
        headers: { ...baseHeaders(options), ...headers },
        redirect: 'manual',
        signal: AbortSignal.any(signals),
        ...(body === undefined ? {} : { body }),
      })
    } catch (error) {
      throw own?.aborted ? own.reason : unreachable(origin, error, signal)
    }
  }

  const call = async <T>(method: string, path: string, body?: unknown, key?: string): Promise<Answer<T>> => {
    const init: FetchOptions = {
      headers: {
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...(key === undefined ? {} : { 'idempotency-key': key }),
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

  return {
    origin,
    fetch: fetchOnce,
    get: async <T>(path: string, query: Query = {}) => (await call<T>('GET', path + queryText(query))).value,
    list: async <T>(path: string, query: Query = {}, most = Number.POSITIVE_INFINITY) => {
      const items: T[] = []
      let next: string | undefined = path + queryText({ limit: Math.min(1000, most), ...query })
      for (let page = 0; next !== undefined && items.length < most && page < MOST_PAGES; page += 1) {
        const answer: Answer<T[]> = await call<T[]>('GET', next)
        if (!Array.isArray(answer.value))
          throw new CliError(`${origin} answered ${path} with something that is no list`)
        items.push(...answer.value)
        next = answer.next
      }
      return items.slice(0, most)
    },
    send: async <T>(method: Method, path: string, body?: unknown, { idempotencyKey }: SendOptions = {}) =>
      (await call<T>(method, path, body, idempotencyKey)).value,
    upload: async <T>(path: string, contentType: string, body: AsyncIterable<Uint8Array>) => {
      const headers = { ...baseHeaders(options), 'content-type': contentType }
      try {
        const response = await sendBody(new URL(origin + path), headers, body, signal)
        return (await readAnswer<T>(origin, response, signal)).value
      } catch (error) {
        throw unreachable(origin, error, signal)
      }
    },
  }
}

interface Answer<T> {
  value: T
  /** The path of the next page. */
  next: string | undefined
}

async function readAnswer<T>(origin: string, response: Response, signal: AbortSignal): Promise<Answer<T>> {
  if (!response.ok) throw new ApiError(await readFailure(origin, response))
  try {
    return { value: (await readJson(origin, response)) as T, next: nextPage(response.headers.get('link')) }
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

/** `?name=value`, without what is undefined; empty when nothing is left. */
export function queryText(query: Query): string {
  const search = new URLSearchParams()
  for (const [name, value] of Object.entries(query)) if (value !== undefined) search.set(name, String(value))
  return search.size === 0 ? '' : `?${search.toString()}`
}

/** A segment of a path: names and ids are the user's and need quoting. */
export function segment(text: string): string {
  return encodeURIComponent(text).replace(/^\.{1,2}$/, (dots) => dots.replaceAll('.', '%2E'))
}
