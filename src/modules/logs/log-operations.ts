import { AppError } from '../../lib/errors.ts'
import { createSlots } from '../../lib/slots.ts'
import type { System } from '../../lib/system.ts'
import type { DeploymentLogs } from './deployment-logs.ts'
import { type FollowEvent, followLog, type FollowRequest } from './log-follow.ts'
import type { LineBatch, LogPage } from './log-line.ts'
import { createLineFilter, type LineFilter, queryLog } from './log-query.ts'
import type { ServiceLogQuery, ServiceStreamQuery } from './log-schema.ts'
import type { ServiceLog } from './service-log.ts'
import type { ServiceLogs } from './service-logs.ts'

export interface LogDeps {
  serviceLogs: ServiceLogs
  deploymentLogs: DeploymentLogs
  system: System
  /** The project of a service. */
  projectOf: (serviceId: string) => string | undefined
}

/** Gives the lines of a log to one reader until the signal aborts. */
export type Follow = (signal: AbortSignal) => AsyncGenerator<FollowEvent, void, undefined>

export type LogOperations = ReturnType<typeof createLogOperations>

const DEFAULT_TAIL = 200
const DEFAULT_STREAM_TAIL = 100
/** A search may read all that is kept; few at once, and not all of one project. */
const SEARCHES = { slots: 3, waiting: 32, waitMs: 20_000, ofOne: { slots: 2, waiting: 16 } }

/** The verbs on logs. Whoever calls them may read the log: the route has seen to it. */
export function createLogOperations(deps: LogDeps) {
  const { serviceLogs, deploymentLogs, system } = deps
  const slots = createSlots(system, SEARCHES)

  const requireLog = async (serviceId: string): Promise<ServiceLog> => {
    const log = await serviceLogs.open(serviceId)
    if (!log) throw new AppError('NOT_FOUND')
    return log
  }

  /** Takes a turn among the searches for what may read a whole log. */
  const inSlot = async <T>(serviceId: string, signal: AbortSignal, read: () => Promise<T>): Promise<T> => {
    const release = await slots.acquire(signal, deps.projectOf(serviceId))
    try {
      return await read()
    } finally {
      release()
    }
  }

  return {
    /** The newest lines of a service that are wanted, oldest first; `before` turns to older pages. */
    async readServiceLog(
      serviceId: string,
      query: ServiceLogQuery,
      before: number | undefined,
      signal: AbortSignal,
    ): Promise<LogPage> {
      const since = readPoint(query.since, 'since')
      const until = readPoint(query.until, 'until')
      if (until?.seq !== undefined) throw invalid('until', 'must be an instant (RFC 3339)')
      const log = await requireLog(serviceId)
      const { replica, deployment_id, grep } = query
      const limit = query.tail ?? query.limit ?? DEFAULT_TAIL
      const filter = { replica, deployment_id, grep, since_ms: since?.ms, until_ms: until?.ms }
      return inSlot(serviceId, signal, () =>
        queryLog(log, { ...filter, limit, after: since?.seq, before }, system, signal),
      )
    },

    /**
     * Follows the output of a service across its deployments: behind `resumeFrom` (the id of a line), or from an instant on, or with the last
     * lines first. Throws VALIDATION_ERROR and BUSY before anything is sent: with a filter finding the last lines, or catching up, is a search.
     */
    async followServiceLog(
      serviceId: string,
      query: ServiceStreamQuery,
      resumeFrom: number | undefined,
      signal: AbortSignal,
    ): Promise<Follow> {
      const since = readPoint(query.since, 'since')
      const log = await requireLog(serviceId)
      const filter: LineFilter = {
        replica: query.replica,
        deployment_id: query.deployment_id,
        since_ms: since?.ms,
      }
      const after = resumeFrom ?? since?.seq
      const tail = query.tail ?? (since === undefined ? DEFAULT_STREAM_TAIL : undefined)
      const turn = <T>(whole: AbortSignal, read: () => Promise<T>): Promise<T> =>
        isFilter(filter) ? inSlot(serviceId, whole, read) : read()
      const follow = (request: FollowRequest, whole: AbortSignal) => {
        const readAfter = (seq: number) => turn(whole, () => log.readAfter(seq))
        return filterLines(followLog({ tail: log.tail, readAfter }, request, whole), filter)
      }
      if (after === undefined && tail !== undefined) {
        const { head } = log.tail
        const wanted = { ...filter, limit: tail, before: head + 1 }
        const { lines } = await turn(signal, () => queryLog(log, wanted, system, signal))
        const request = { after: head, skipWhenBehind: true, tellGone: true }
        return (whole) => behind({ first: head, last: head, lines }, follow(request, whole))
      }
      const start = after ?? firstBefore(log, since?.ms ?? 0)
      const request = { after: start, skipWhenBehind: true, tellGone: after !== undefined }
      return (whole) => follow(request, whole)
    },

    /** The lines of a deployment's log behind `after`, oldest first. */
    readDeploymentLog: (deploymentId: string, after: number, limit: number): Promise<LogPage> =>
      deploymentLogs.read(deploymentId, { after, limit }),

    /** Follows a deployment's log until the deployment is over; every line behind `after` comes. */
    followDeploymentLog:
      (deploymentId: string, after: number): Follow =>
      (signal) =>
        deploymentLogs.follow(deploymentId, { after }, signal),
  }
}

/** Lines of the past, then what comes behind them. */
async function* behind(
  batch: LineBatch,
  events: AsyncGenerator<FollowEvent, void, undefined>,
): AsyncGenerator<FollowEvent, void, undefined> {
  if (batch.lines.length > 0) yield { type: 'lines', batch }
  yield* events
}

/** Whether any line may be unwanted: then finding one may take reading all that is kept. */
function isFilter(filter: LineFilter): boolean {
  return Object.values(filter).some((value) => value !== undefined)
}

async function* filterLines(
  events: AsyncGenerator<FollowEvent, void, undefined>,
  filter: LineFilter,
): AsyncGenerator<FollowEvent, void, undefined> {
  if (!isFilter(filter)) {
    yield* events
    return
  }
  const matches = createLineFilter(filter)
  for await (const event of events) {
    if (event.type !== 'lines') {
      yield event
      continue
    }
    const lines = event.batch.lines.filter(matches)
    if (lines.length > 0) yield { type: 'lines', batch: { ...event.batch, lines } }
  }
}

/** The line before the oldest segment that can hold something from an instant on. */
function firstBefore(log: ServiceLog, ms: number): number {
  const oldest = log.segments().findLast((segment) => segment.max_ms >= ms)
  return oldest ? oldest.first - 1 : log.tail.head
}

/** An instant, or the id of a line. */
function readPoint(text: string | undefined, field: string): { ms?: number; seq?: number } | undefined {
  if (text === undefined) return undefined
  if (/^\d{1,15}$/.test(text)) return { seq: Number(text) }
  const ms = /^\d{4}-\d\d-\d\dT\d\d:\d\d/.test(text) ? Date.parse(text) : Number.NaN
  if (Number.isNaN(ms)) throw invalid(field, 'must be an instant (RFC 3339) or the id of a line')
  return { ms }
}

function invalid(field: string, message: string): AppError {
  return new AppError('VALIDATION_ERROR', { details: [{ field, message }] })
}
