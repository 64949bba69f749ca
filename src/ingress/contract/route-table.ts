import { isIP } from 'node:net'
import { isRouteRules, type RouteRules } from './route-rules.ts'

/**
 * The table that the control plane hands to the data plane, whole, by version. The only type that the two share. Hostnames of one
 * service share one object of rules, which `packRouteTable` writes once.
 */
export interface RouteTable {
  /** Rises by one with every change; a worker ignores a table that is not newer than its own. */
  version: number
  routes: Route[]
}

export interface Route {
  /** Lower case, no port, no trailing dot. Exact; or `*.example.org` for names with one label in the star's place. */
  hostname: string
  /** For messages and logs: `<project>/<service>`. */
  label: string
  service_id: string
  /** Replicas that may get new requests. Empty: 503. */
  upstreams: Upstream[]
  /** One of the releases of the replicas gets so many percent of the requests, 1 to 99. */
  canary?: { deployment_id: string; percent: number }
  /** A request that finds no replica waits so long for a newer table with one, instead of a 503. Without it: not at all. */
  hold_ms?: number
  /** Its operator has stopped it: waiting does not help. */
  stopped?: boolean
  /** Requests that come without TLS are sent to the same address with it. */
  https_only?: boolean
  /** The hostname that requests are sent on to: `www.` or without. */
  canonical_host?: string
  /** What its operator has said of its requests. */
  rules?: RouteRules
}

/** A table as files and sockets have it: routes name their rules by their place in `rules`. */
export interface PackedTable {
  version: number
  rules: RouteRules[]
  routes: (Omit<Route, 'rules'> & { rules?: number })[]
}

export interface Upstream {
  /** The container's name: unique for each replica of each deployment. */
  id: string
  /** An IP address. */
  address: string
  port: number
  deployment_id: string
  /** A Unix socket instead of address and port: of the control plane, which is no replica. */
  socket_path?: string
}

/** An empty table, older than every other. */
export const EMPTY_TABLE: RouteTable = { version: 0, routes: [] }

const HOSTNAME =
  /^(?=.{1,253}$)(?:\*\.)?[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*$/

/** Longer than any client waits. */
const MAX_HOLD_MS = 10 * 60_000

/** Writes each object of rules once, however many routes share it. */
export function packRouteTable({ version, routes }: RouteTable): PackedTable {
  const places = new Map<RouteRules, number>()
  const placeOf = (rules: RouteRules): number => {
    const place = places.get(rules) ?? places.size
    places.set(rules, place)
    return place
  }
  const packed = routes.map(({ rules, ...route }) => (rules ? { ...route, rules: placeOf(rules) } : route))
  return { version, rules: [...places.keys()], routes: packed }
}

/** Reads a table that came from a file or a socket; undefined when it is not one. */
export function parseRouteTable(value: unknown): RouteTable | undefined {
  if (!isRecord(value) || !isCount(value['version']) || !Array.isArray(value['routes'])) return undefined
  // One of an earlier Berth has the rules of each route in it.
  const shared: unknown = value['rules'] ?? []
  if (!Array.isArray(shared)) return undefined
  const routes = (value['routes'] as unknown[]).map((route) => withSharedRules(route, shared))
  return routes.every(isRoute) ? { version: value['version'], routes } : undefined
}

function withSharedRules(route: unknown, shared: readonly unknown[]): unknown {
  // A place where nothing stands makes the route invalid: without its rules it would let everybody in.
  return isRecord(route) && typeof route['rules'] === 'number'
    ? { ...route, rules: shared[route['rules']] ?? null }
    : route
}

function isRoute(value: unknown): value is Route {
  return (
    isRecord(value) &&
    typeof value['hostname'] === 'string' &&
    HOSTNAME.test(value['hostname']) &&
    typeof value['label'] === 'string' &&
    typeof value['service_id'] === 'string' &&
    Array.isArray(value['upstreams']) &&
    value['upstreams'].every(isUpstream) &&
    isOptional(value['hold_ms'], isHold) &&
    isOptional(value['canary'], isCanary) &&
    isOptional(value['rules'], isRouteRules) &&
    isOptional(value['canonical_host'], (host) => typeof host === 'string' && HOSTNAME.test(host)) &&
    isOptional(value['stopped'], (flag) => typeof flag === 'boolean') &&
    isOptional(value['https_only'], (flag) => typeof flag === 'boolean')
  )
}

function isHold(value: unknown): value is number {
  return isCount(value) && value <= MAX_HOLD_MS
}

function isCanary(value: unknown): boolean {
  if (!isRecord(value) || typeof value['deployment_id'] !== 'string') return false
  const { percent } = value
  return isCount(percent) && percent >= 1 && percent <= 99
}

function isOptional(value: unknown, check: (value: unknown) => boolean): boolean {
  return value === undefined || check(value)
}

function isUpstream(value: unknown): value is Upstream {
  return (
    isRecord(value) &&
    typeof value['id'] === 'string' &&
    value['id'] !== '' &&
    typeof value['address'] === 'string' &&
    isIP(value['address']) !== 0 &&
    isCount(value['port']) &&
    value['port'] >= 1 &&
    value['port'] <= 65_535 &&
    typeof value['deployment_id'] === 'string' &&
    isOptional(value['socket_path'], (path) => typeof path === 'string' && path.startsWith('/'))
  )
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0
}
