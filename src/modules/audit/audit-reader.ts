import type { System } from '../../lib/system.ts'
import type { AuditFilter, AuditRow, AuditStore } from './audit-store.ts'

/** Reads the log by filter, however long it is, without holding the event loop. */
export interface AuditReader {
  /** At most `limit`, newest first, below `before`. */
  newest(filter: AuditFilter, limit: number, before: number | undefined): Promise<AuditRow[]>
  /** Batches, oldest first, above `after` and up to `upTo`. Ends early when the signal aborts. */
  upwards(
    filter: AuditFilter,
    after: number,
    upTo: number,
    signal: AbortSignal,
  ): AsyncGenerator<AuditRow[], void>
}

/** What one look takes: some milliseconds. Numbers have no gaps, so a span of them is as many rows. */
const SPAN = 4000
const BATCH = 200

export function createAuditReader(store: AuditStore, system: System): AuditReader {
  return {
    newest: async (filter, limit, before) => {
      const rows: AuditRow[] = []
      let upTo = before === undefined ? (store.head()?.sequence ?? 0) : before - 1
      while (upTo > 0 && rows.length < limit) {
        rows.push(...store.within(filter, Math.max(0, upTo - SPAN), upTo, limit - rows.length))
        upTo -= SPAN
        if (upTo > 0 && rows.length < limit) await system.sleep(0)
      }
      return rows
    },
    upwards: async function* (filter, after, upTo, signal) {
      let above = after
      while (above < upTo && !signal.aborted) {
        const end = Math.min(upTo, above + SPAN)
        const rows = store.withinUp(filter, above, end, BATCH)
        if (rows.length > 0) yield rows
        above = rows.length === BATCH ? (rows.at(-1)?.sequence ?? end) : end
        await system.sleep(0)
      }
    },
  }
}
