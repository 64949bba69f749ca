import type { CertificateSet } from './certificate-table.ts'
import type { ChallengeSet } from './challenge-table.ts'
import type { PackedTable } from './route-table.ts'

/**
 * What the control plane and a worker say to each other over `worker-<pid>.sock`: one JSON value a line, each request answered in
 * turn; events come between the answers. The directory is 0700 and the socket 0600, so both ends trust each other.
 */
export type ControlRequest =
  | PushRequest
  /** The key for session tickets was written anew; a worker reads it from its file. */
  | { type: 'tickets' }
  | { type: 'status' }
  /** Takes notes of about so many requests out of the worker. */
  | { type: 'requests'; limit: number }
  /** Starts this program with the listening sockets as descriptors 3 and 4: who waits in their queues is served by either. */
  | { type: 'hand_over'; command: string[]; env: Record<string, string> }
  /** Ends the worker: no new connections, and at most so long for what is running. */
  | { type: 'stop'; requests_ms: number; upgraded_ms: number }

/** Hands over a set, whole; the answer names the version that is served from then on. */
export type PushRequest =
  | { type: 'table'; table: PackedTable }
  | { type: 'certificates'; set: CertificateSet }
  | { type: 'challenges'; set: ChallengeSet }

/** The sets that have a version of their own. */
export type SetName = 'routes' | 'certificates' | 'challenges'

/** How many requests wait for a replica of one service in a worker. */
export interface HeldCount {
  service_id: string
  requests: number
}

/** Comes unasked, between replies. */
export type ControlEvent =
  | ({ type: 'held' } & HeldCount)
  /** What a worker that ends has noted of requests since it was asked last. */
  | ({ type: 'last_requests' } & TakenNotes)

export type ControlReply =
  | { type: 'ack'; version: number }
  | ({ type: 'status' } & IngressWorkerStatus)
  | { type: 'stopping' }
  | ({ type: 'requests' } & AccessNotes)
  | { type: 'done' }
  | { type: 'handed_over'; pid: number }
  | { type: 'error'; message: string }

/** One request that is over, as the access log has it. */
export interface AccessEntry {
  service_id: string
  /** When it was over, in milliseconds since the epoch. */
  ts: number
  request_id: string
  method: string
  hostname: string
  /** Without its query. */
  path: string
  status: number
  /** Of the answer's body. */
  bytes: number
  duration_ms: number
  /** From the last attempt to the application's header section; null: there was none. */
  upstream_ms: number | null
  deployment_id: string | null
  /** Of the container. */
  replica: string | null
  client_address: string
}

/** Requests that were not noted because there were too many. */
export interface LostEntries {
  service_id: string
  requests: number
}

export interface TakenNotes {
  entries: AccessEntry[]
  lost: LostEntries[]
}

export interface AccessNotes extends TakenNotes {
  /** There are others. */
  more: boolean
}

/** What a worker says of itself. */
export interface IngressWorkerStatus {
  pid: number
  /** Of the routing table that it serves. */
  version: number
  certificates_version: number
  challenges_version: number
  /** Stands for its code and settings: a worker with another one is to be replaced. */
  fingerprint: string
  bind_address: string
  port: number
  https_port: number
  /** It takes connections. */
  listening: boolean
  draining: boolean
  uptime_seconds: number
  rss_bytes: number
  connections: number
  accepted: number
  requests: number
  /** TLS handshakes that came to an end, those that resumed a session among them. */
  handshakes: number
  resumed: number
  upgrades: number
  retries: number
  bad_responses: number
  truncated: number
  exceptions: number
  /** Answers made by the ingress itself, by status. */
  answered: Record<string, number>
  /** Replicas with something running, also those that have left the table. */
  upstreams: { id: string; requests: number; upgraded: number }[]
  /** Replicas with something running, or with a request within the last `active_ms`. A worker of an earlier Berth does not say. */
  active?: string[]
  /** Services with requests that wait for a replica. */
  held: HeldCount[]
}

/** A table of a hundred thousand routes is about this long. */
export const MAX_LINE_LENGTH = 32 * 1024 * 1024
/** What is around a set leaves it a little less. */
export const MAX_SET_LENGTH = MAX_LINE_LENGTH - 1024

/** How a worker ends, for the one that started it (the numbers of sysexits.h). */
export const WorkerExit = {
  done: 0,
  badSettings: 64,
  portInUse: 69,
  tlsPortInUse: 68,
  tlsPortForbidden: 76,
  fault: 70,
  portForbidden: 77,
} as const

/** What a worker starts from, within the ingress directory. */
export const ROUTES_FILE = 'routes.json'
export const CERTIFICATES_FILE = 'certificates.json'
export const CHALLENGES_FILE = 'challenges.json'
/** Sealed. */
export const TICKETS_FILE = 'session-tickets'

/** The name of a worker's socket within the ingress directory. */
export function socketName(pid: number): string {
  return `worker-${pid}.sock`
}

/** The pid in the name of a worker's socket; undefined for any other file. */
export function pidOfSocket(name: string): number | undefined {
  const digits = /^worker-([1-9]\d{0,9})\.sock$/.exec(name)?.[1]
  return digits === undefined ? undefined : Number(digits)
}

/** Behind the settings: the listening sockets are there already. */
export const INHERIT_ARGUMENT = '--inherit'

/** In place of the settings: load the program and exit, to leave it in Node's compile cache. */
export const WARM_ARGUMENT = '--load-only'
