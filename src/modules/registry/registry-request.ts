import type { BodySource } from '../../lib/body-source.ts'
import type { Caller } from './caller.ts'

/** A request of /v2 without its transport. */
export interface RegistryRequest {
  readonly method: string
  readonly query: URLSearchParams
  header(name: string): string | undefined
  readonly body: BodySource
  readonly caller: Caller
}

/** The length that the client announced; undefined when it sends chunks. */
export function announcedLength(request: RegistryRequest): number | undefined {
  const text = request.header('content-length')
  return text !== undefined && /^\d{1,15}$/.test(text) ? Number(text) : undefined
}

/** `n` and `last` of lists. A number that is none is as good as no number. */
export function readListQuery(query: URLSearchParams): { n: number; last: string } {
  const text = query.get('n')
  const n = text !== null && /^\d{1,9}$/.test(text) ? Math.min(Number(text), MAX_LIST) : MAX_LIST
  return { n, last: query.get('last') ?? '' }
}

/** Most entries in one answer. */
export const MAX_LIST = 1000

/** `Link` to the next page (RFC 8288). */
export function nextLink(path: string, parameters: Record<string, string>): string {
  return `<${path}?${new URLSearchParams(parameters).toString()}>; rel="next"`
}
