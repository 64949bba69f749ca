import type { System } from '../../../lib/system.ts'
import type { ProbeResult } from '../../replicas/health-probe.ts'
import type { StepContext } from './step.ts'

/** How often it is told that probes go on to end as before. */
const REPEAT_MS = 10_000

/**
 * Writes the outcome of each probe of one replica into the log of the deployment: a line when it changes, and a count of those that were like it
 * every ten seconds. A replica may be asked several times a second, and for minutes.
 */
export function createProbeLog(
  log: StepContext['log'],
  index: number,
  system: Pick<System, 'monotonic'>,
): { note: (result: ProbeResult, kind: string) => void; flush: () => void } {
  let last: (ProbeResult & { kind: string }) | undefined
  let more = 0
  let toldAt = 0

  const flush = (): void => {
    if (last && more > 0) log(`Replica ${index}: ${last.seen} (waiting, ${more} more like it)`)
    more = 0
    toldAt = system.monotonic()
  }

  return {
    /** `kind` tells outcomes apart; what is seen may differ in numbers that do not matter. */
    note: (result, kind) => {
      if (!result.ok && last?.ok === false && last.kind === kind) {
        more += 1
        last = { ...result, kind }
        if (system.monotonic() - toldAt >= REPEAT_MS) flush()
        return
      }
      flush()
      last = { ...result, kind }
      log(`Replica ${index}: ${result.seen}${result.ok ? ' (good)' : ' (waiting)'}`)
    },
    /** Tells of those that were not told of yet. */
    flush,
  }
}
