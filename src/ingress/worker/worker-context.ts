import type { System } from '../../lib/system.ts'
import { AccessRings } from '../exchange/access-ring.ts'
import { ChallengeIndex } from '../routing/challenge-index.ts'
import { Holds } from '../exchange/hold.ts'
import type { IngressLimits } from '../contract/limits.ts'
import { ReadBuffers } from '../exchange/read-buffers.ts'
import type { RouteIndex } from '../routing/route-index.ts'

/** What has happened since this worker began. */
export interface WorkerCounters {
  connections: number
  requests: number
  handshakes: number
  resumed: number
  upgrades: number
  /** Answers made here instead of by an application, by status. */
  answered: Map<number, number>
  /** Second attempts on another connection. */
  retries: number
  /** Responses of applications that were refused because they broke the protocol. */
  bad_responses: number
  /** Answers cut off in the middle. */
  truncated: number
  /** Exceptions that were contained. */
  exceptions: number
}

/** Writes one line about something that went wrong; bounded in rate and size. */
export type WorkerLog = (event: string, fields?: Record<string, string | number>) => void

/** What every request of one worker process shares. */
export interface WorkerContext {
  readonly system: System
  readonly limits: IngressLimits
  readonly log: WorkerLog
  readonly counters: WorkerCounters
  /** Coarse clocks in milliseconds, moved on every `tick_ms`: `now` for deadlines, which stands still when the process does. */
  readonly clock: { now: number; real: number }
  readonly readBuffers: ReadBuffers
  readonly routes: RouteIndex
  readonly holds: Holds
  readonly challenges: ChallengeIndex
  /** Notes for the access log. */
  readonly access: AccessRings
  /** Where clients are sent that must speak TLS. */
  httpsPort: number
  /** Answers tell the client to close its connection. */
  draining: boolean
  readonly newRequestId: () => string
  /** Counts and logs an exception that was contained. */
  readonly caught: (error: unknown) => void
}

/** A context with nothing in it yet. */
export function createWorkerContext(
  system: System,
  limits: IngressLimits,
  log: WorkerLog,
  routes: RouteIndex,
): WorkerContext {
  const counters: WorkerCounters = {
    connections: 0,
    requests: 0,
    handshakes: 0,
    resumed: 0,
    upgrades: 0,
    answered: new Map(),
    retries: 0,
    bad_responses: 0,
    truncated: 0,
    exceptions: 0,
  }
  const caught = (error: unknown): void => {
    counters.exceptions += 1
    log('exception', { error: error instanceof Error ? (error.stack ?? error.message) : String(error) })
  }
  return {
    system,
    limits,
    log,
    counters,
    clock: { now: 0, real: system.monotonic() },
    readBuffers: new ReadBuffers(),
    routes,
    holds: new Holds(routes, limits, caught),
    challenges: new ChallengeIndex(),
    access: new AccessRings(),
    httpsPort: 443,
    draining: false,
    newRequestId: createRequestIds(system),
    caught,
  }
}

/** Ids that never repeat: random for the process, counted within it. Cheaper than a UUID for every request. */
function createRequestIds(system: System): () => string {
  const prefix = system.randomBytes(10).toString('hex')
  let count = system.randomBytes(3).readUIntBE(0, 3)
  return () => {
    count += 1
    return `${prefix}${count.toString(16).padStart(12, '0')}`
  }
}
