export interface InFlight {
  requests: number
  /** WebSockets and other upgraded connections. */
  upgraded: number
}

export interface DrainDeps {
  /** What runs through these replicas; throws when an ingress process cannot be asked. */
  inFlight: (upstreamIds: readonly string[]) => Promise<InFlight>
  drainSeconds: number
  drainUpgradedSeconds: number
}

/** `over`: the replicas may be stopped, and this is what will be cut. */
export type DrainState = InFlight & { over: boolean }

/**
 * Whether replicas that have had no new requests for so many seconds have finished the old ones, or have had their time. An ingress that cannot
 * be asked counts as busy, but not for longer than the time that anything is given. Before their pre-stop time is up nothing is asked.
 */
export async function lookAtDrain(
  deps: DrainDeps,
  names: readonly string[],
  seconds: number,
  preStopSeconds: number,
): Promise<DrainState> {
  if (seconds < preStopSeconds) return { requests: 0, upgraded: 0, over: false }
  if (seconds >= Math.max(deps.drainSeconds, deps.drainUpgradedSeconds)) {
    const inFlight = await deps.inFlight(names).catch(() => ({ requests: 0, upgraded: 0 }))
    return { ...inFlight, over: true }
  }
  const { requests, upgraded } = await deps.inFlight(names)
  const waits =
    (requests > 0 && seconds < deps.drainSeconds) || (upgraded > 0 && seconds < deps.drainUpgradedSeconds)
  return { requests, upgraded, over: !waits }
}
