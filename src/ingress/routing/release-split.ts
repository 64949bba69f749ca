import type { Route } from '../contract/route-table.ts'
import type { UpstreamState } from '../upstream/upstream.ts'

/** The replicas of a route whose requests two releases share. */
export interface ReleaseSplit {
  readonly main: readonly UpstreamState[]
  readonly canary: readonly UpstreamState[]
  /** How many of a hundred requests are the canary's. */
  readonly percent: number
}

/** The two releases of a route; undefined when there is only one. */
export function splitReleases(
  { canary }: Route,
  upstreams: readonly UpstreamState[],
): ReleaseSplit | undefined {
  if (canary === undefined) return undefined
  const isCanary = ({ deploymentId }: UpstreamState): boolean => deploymentId === canary.deployment_id
  return {
    main: upstreams.filter((each) => !isCanary(each)),
    canary: upstreams.filter(isCanary),
    percent: canary.percent,
  }
}

/** Multiples of it, without their whole part, fill the range from 0 to 1 as evenly as can be, and in step with no pattern of requests. */
const GOLDEN_RATIO = 0.618_033_988_749_894_9

/**
 * Draws which release a request goes to, so that the shares are right after few requests already. One for all routes and tables of a worker:
 * beginning anew with each table would favour a release.
 */
export class ReleaseDraw {
  private point = 0

  /** Whether the next request is one of the so many in a hundred. */
  isAmong(percent: number): boolean {
    this.point = (this.point + GOLDEN_RATIO) % 1
    return this.point * 100 < percent
  }
}
