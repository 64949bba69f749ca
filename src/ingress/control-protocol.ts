import type { RouteTable } from './route-table.ts'

/**
 * What the control plane and a worker say to each other over `worker-<pid>.sock`: one JSON value a line, each request answered in
 * turn; events come between the answers. The directory is 0700 and the socket 0600, so both ends trust each other.
 */
export type ControlRequest =
  | { type: 'table'; table: RouteTable }
  | { type: 'status' }
  /** Ends the worker: no new connections, and at most so long for what is running. */
  | { type: 'stop'; requests_ms: number; upgraded_ms: number }

/** How many requests wait for a replica of one service in a worker. */
export interface HeldCount {
  service_id: string
  requests: number
}

/** Comes unasked, between replies. */
export type ControlEvent = { type: 'held' } & HeldCount

export type ControlReply =
  | { type: 'ack'; version: number }
  | ({ type: 'status' } & IngressWorkerStatus)
  | { type: 'stopping' }
  | { type: 'error'; message: string }

/** What a worker says of itself. */
export interface IngressWorkerStatus {
  pid: number
  /** Of the routing table that it serves. */
  version: number
  /** Stands for its code and settings: a worker with another one is to be replaced. */
  fingerprint: string
  bind_address: string
  port: number
  /** It takes connections. */
  listening: boolean
  draining: boolean
  uptime_seconds: number
  rss_bytes: number
  connections: number
  accepted: number
  requests: number
  upgrades: number
  retries: number
  bad_responses: number
  truncated: number
  exceptions: number
  /** Answers made by the ingress itself, by status. */
  answered: Record<string, number>
  /** Replicas with something running, also those that have left the table. */
  upstreams: { id: string; requests: number; upgraded: number }[]
  /** Services with requests that wait for a replica. */
  held: HeldCount[]
}

/** A table of a hundred thousand routes is about this long. */
export const MAX_LINE_LENGTH = 32 * 1024 * 1024

/** How a worker ends, for the one that started it (the numbers of sysexits.h). */
export const WorkerExit = {
  done: 0,
  badSettings: 64,
  portInUse: 69,
  fault: 70,
  portForbidden: 77,
} as const

export const ROUTES_FILE = 'routes.json'

/** The name of a worker's socket within the ingress directory. */
export function socketName(pid: number): string {
  return `worker-${pid}.sock`
}

/** The pid in the name of a worker's socket; undefined for any other file. */
export function pidOfSocket(name: string): number | undefined {
  const digits = /^worker-([1-9]\d{0,9})\.sock$/.exec(name)?.[1]
  return digits === undefined ? undefined : Number(digits)
}

/** In place of the settings: load the program and exit, to leave it in Node's compile cache. */
export const WARM_ARGUMENT = '--load-only'
