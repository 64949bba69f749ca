import type { System } from '../../lib/system.ts'
import { findBreak, GENESIS } from './audit-chain.ts'
import type { Verification } from './audit-schema.ts'
import type { AuditStore } from './audit-store.ts'

/** About a millisecond of the event loop. */
const SLICE = 200

/** Makes the function that computes every hash of the log anew, in slices; calls during a run share it. */
export function createVerifier(store: AuditStore, system: System): () => Promise<Verification> {
  let running: Promise<Verification> | undefined

  const run = async (): Promise<Verification> => {
    const end = store.head()?.sequence ?? 0
    let head: { sequence: number; hash: Buffer } = { sequence: 0, hash: GENESIS }
    let broken: { sequence: number; reason: string } | undefined
    while (head.sequence < end && !broken) {
      const rows = store.withinUp({ scope: 'everything' }, head.sequence, end, SLICE)
      broken = findBreak(rows, head) ?? (rows.length === 0 ? missing(head.sequence) : undefined)
      const last = rows.at(-1)
      if (last) head = { sequence: last.sequence, hash: last.hash }
      await system.sleep(0)
    }
    // The newest events leave no gap behind them, but SQLite remembers the highest number that it gave.
    if (!broken && store.lastGiven() > (store.head()?.sequence ?? 0)) broken = missing(head.sequence)
    return {
      chain_ok: !broken,
      events: head.sequence,
      head_sequence: head.sequence,
      head_hash: head.hash.toString('hex'),
      broken_at: broken?.sequence ?? null,
      reason: broken?.reason ?? null,
    }
  }

  return () => {
    running ??= run().finally(() => {
      running = undefined
    })
    return running
  }
}

function missing(after: number) {
  return { sequence: after + 1, reason: 'the event is missing' }
}
