import { type ReleaseSplit, ReleaseDraw, splitReleases } from './release-split.ts'
import { EMPTY_TABLE, type Route, type RouteTable } from '../contract/route-table.ts'
import { UpstreamState } from '../upstream/upstream.ts'

/** A route with the state of its replicas. */
export interface RouteState {
  readonly route: Route
  readonly upstreams: readonly UpstreamState[]
  /** They are of two releases that share the requests. */
  readonly split: ReleaseSplit | undefined
  /** Where the search for the next replica begins, so that ties take turns. */
  turn: number
}

/** What runs through one replica in this worker. */
export interface UpstreamLoad {
  id: string
  requests: number
  upgraded: number
}

/**
 * The routing table of one worker. A change builds a new map and puts it in place by one assignment; a replica that both tables
 * name keeps its state, one that only the old one names gets no new requests.
 */
export class RouteIndex {
  version = EMPTY_TABLE.version
  readonly draw = new ReleaseDraw()
  /** Called when a newer table is in place. */
  changed: () => void = () => {}
  private routes = new Map<string, RouteState>()
  /** By what follows the star. */
  private wildcards = new Map<string, RouteState>()
  private upstreams = new Map<string, UpstreamState>()
  /** Left the table with requests or connections still open. */
  private readonly leaving = new Set<UpstreamState>()

  find(hostname: string): RouteState | undefined {
    const exact = this.routes.get(hostname)
    if (exact !== undefined || this.wildcards.size === 0) return exact
    const dot = hostname.indexOf('.')
    return dot > 0 ? this.wildcards.get(hostname.slice(dot)) : undefined
  }

  /** Takes a table that is newer than the present one; false when it is not. */
  replace(table: RouteTable): boolean {
    if (table.version <= this.version) return false
    const upstreams = new Map<string, UpstreamState>()
    const routes = new Map<string, RouteState>()
    const wildcards = new Map<string, RouteState>()
    for (const route of table.routes) {
      const states = route.upstreams.map((upstream) => {
        // A name with another address is another replica: containers get new addresses when they restart.
        const key = `${upstream.id} ${upstream.address} ${upstream.port}`
        const state = upstreams.get(key) ?? this.upstreams.get(key) ?? new UpstreamState(upstream)
        upstreams.set(key, state)
        return state
      })
      const split = splitReleases(route, states)
      const state = { route, upstreams: states, split, turn: 0 }
      if (route.hostname.startsWith('*')) wildcards.set(route.hostname.slice(1), state)
      else routes.set(route.hostname, state)
    }
    const before = this.upstreams
    this.upstreams = upstreams
    this.routes = routes
    this.wildcards = wildcards
    this.version = table.version
    for (const [key, state] of before) if (!upstreams.has(key)) this.retire(state)
    this.changed()
    return true
  }

  /** Every replica with an open connection or a place in the table. */
  *states(): Iterable<UpstreamState> {
    yield* this.upstreams.values()
    yield* this.leaving
  }

  /** Replicas that are busy, or were given a request since this moment. */
  activeSince(since: number): string[] {
    const ids: string[] = []
    for (const { id, busy, askedAt } of this.states()) if (busy || askedAt >= since) ids.push(id)
    return ids
  }

  /** Forgets replicas that have left the table and have nothing open. */
  sweep(): void {
    for (const state of this.leaving)
      if (!state.busy && state.connections.size === 0) this.leaving.delete(state)
  }

  loads(): UpstreamLoad[] {
    const loads: UpstreamLoad[] = []
    for (const { id, requests, upgraded, busy } of this.states())
      if (busy) loads.push({ id, requests, upgraded })
    return loads
  }

  private retire(state: UpstreamState): void {
    this.leaving.add(state)
    state.retire()
  }
}

/**
 * The replica with the least load that is neither in `tried` nor ejected; an ejected one when there is no other. Undefined: none
 * is left to try. Of two releases it is one of the canary's if `canary`, one of the main release's if not, unless that one has none to give.
 */
export function pickUpstream(
  route: RouteState,
  canary: boolean,
  tried: readonly UpstreamState[],
  now: number,
): UpstreamState | undefined {
  const { split, upstreams } = route
  if (split === undefined) return pickAmong(route, upstreams, tried, now)
  const found = pickAmong(route, canary ? split.canary : split.main, tried, now)
  return found === undefined || found.isEjected(now) ? pickAmong(route, upstreams, tried, now) : found
}

function pickAmong(
  route: RouteState,
  upstreams: readonly UpstreamState[],
  tried: readonly UpstreamState[],
  now: number,
): UpstreamState | undefined {
  const count = upstreams.length
  if (count === 1)
    return tried.length > 0 && tried.includes(upstreams[0] as UpstreamState) ? undefined : upstreams[0]
  route.turn = route.turn + 1 >= count ? 0 : route.turn + 1
  let best: UpstreamState | undefined
  let bestEjected = true
  for (let index = 0; index < count; index += 1) {
    const candidate = upstreams[(route.turn + index) % count] as UpstreamState
    if (tried.length > 0 && tried.includes(candidate)) continue
    const ejected = candidate.isEjected(now)
    const better = best === undefined || (ejected === bestEjected ? candidate.load < best.load : bestEjected)
    if (!better) continue
    best = candidate
    bestEjected = ejected
  }
  return best
}
