import type { Page, PageRequest } from '../../lib/page.ts'
import type { LogPage } from '../logs/log-line.ts'
import type { Follow, LogOperations } from '../logs/log-operations.ts'
import type { RequestEntry, RequestQuery, RequestStreamQuery } from './request-schema.ts'

export type RequestOperations = ReturnType<typeof createRequestOperations>

const DEFAULT_TAIL = 20

/** The verbs on the access log. Whoever calls them may read it: the route has seen to it. */
export function createRequestOperations(logs: Pick<LogOperations, 'readServiceLog' | 'followServiceLog'>) {
  return {
    /** The requests of a service, newest first. */
    listRequests: async (
      serviceId: string,
      query: Omit<RequestQuery, 'cursor' | 'limit'>,
      page: PageRequest,
      signal: AbortSignal,
    ): Promise<Page<RequestEntry>> => {
      const before = page.after === undefined ? undefined : Number(page.after)
      const found: LogPage = await logs.readServiceLog(
        serviceId,
        { ...query, tail: page.limit },
        before,
        signal,
      )
      const items = found.lines.toReversed().map(toEntry)
      const last = items.at(-1)
      return found.more && last !== undefined ? { items, next: last.id } : { items }
    },

    /** Follows the requests of a service: the last ones first, or what came behind `resumeFrom`. */
    followRequests: (
      serviceId: string,
      query: RequestStreamQuery,
      resumeFrom: number | undefined,
      signal: AbortSignal,
    ): Promise<Follow> =>
      logs.followServiceLog(serviceId, { tail: DEFAULT_TAIL, ...query }, resumeFrom, signal),

    toEntry,
  }
}

/** A stored line as an entry. */
function toEntry(record: string): RequestEntry {
  const { seq, ts, deployment_id, line } = JSON.parse(record) as {
    seq: number
    ts: string
    deployment_id: string
    line: string
  }
  const entry = JSON.parse(line) as Omit<RequestEntry, 'id' | 'ts' | 'deployment_id'>
  return { id: String(seq), ts, ...entry, deployment_id: deployment_id === '' ? null : deployment_id }
}
