import { createHash } from 'node:crypto'
import type { AuditRow } from './audit-store.ts'

/** What the first event follows. */
export const GENESIS = Buffer.alloc(32)

/**
 * The SHA-256 over the hash of the event before and this event's fields as JSON with sorted keys: a change anywhere changes every hash
 * behind it.
 */
export function hashEvent(event: Omit<AuditRow, 'hash'>): Buffer {
  const { previous_hash: previous, ...fields } = event
  const sorted = Object.fromEntries(Object.entries(fields).toSorted(([a], [b]) => (a < b ? -1 : 1)))
  return createHash('sha256').update(previous).update(JSON.stringify(sorted)).digest()
}

/** Where a chain of events, oldest first, does not hold; undefined when it does. */
export function findBreak(
  rows: readonly AuditRow[],
  before: { sequence: number; hash: Buffer },
): { sequence: number; reason: string } | undefined {
  let { sequence, hash } = before
  for (const row of rows) {
    if (row.sequence !== sequence + 1) return { sequence: sequence + 1, reason: 'the event is missing' }
    if (!row.previous_hash.equals(hash))
      return { sequence: row.sequence, reason: 'it does not follow the event before' }
    const { hash: stored, ...fields } = row
    if (!stored.equals(hashEvent(fields))) return { sequence: row.sequence, reason: 'it was changed' }
    sequence = row.sequence
    hash = row.hash
  }
  return undefined
}
