import type { AccessEntry, AccessNotes, LostEntries } from '../contract/control-protocol.ts'

/** Entries of one service that wait for the control plane; then the oldest goes. */
const PER_SERVICE = 4096
/** Entries of all services together: about 16 MiB. */
const IN_ALL = 32_768

interface Ring {
  entries: AccessEntry[]
  /** Where the oldest stands once the ring is full. */
  oldest: number
  lost: number
}

/**
 * What was asked of each service since the control plane last took it. Bounded whatever comes: a service that is asked too much, or a
 * control plane that is away, costs the oldest entries of that service, which are counted.
 */
export class AccessRings {
  private readonly rings = new Map<string, Ring>()
  private count = 0

  add(entry: AccessEntry): void {
    let ring = this.rings.get(entry.service_id)
    if (ring === undefined) {
      ring = { entries: [], oldest: 0, lost: 0 }
      this.rings.set(entry.service_id, ring)
    }
    const { entries } = ring
    if (entries.length < PER_SERVICE && this.count < IN_ALL) {
      entries.push(entry)
      this.count += 1
      return
    }
    ring.lost += 1
    if (entries.length === 0) return
    entries[ring.oldest] = entry
    ring.oldest = (ring.oldest + 1) % entries.length
  }

  /** Takes about `limit` entries out, oldest first within each service, and what was lost. `more`: there are others. */
  take(limit: number): AccessNotes {
    const entries: AccessEntry[] = []
    const lost: LostEntries[] = []
    for (const [serviceId, ring] of this.rings) {
      if (ring.lost > 0) lost.push({ service_id: serviceId, requests: ring.lost })
      ring.lost = 0
      const inOrder = ring.oldest === 0 ? ring.entries : rotated(ring)
      const some = inOrder.splice(0, limit - entries.length)
      entries.push(...some)
      this.count -= some.length
      ring.entries = inOrder
      ring.oldest = 0
      if (inOrder.length === 0) this.rings.delete(serviceId)
      if (entries.length >= limit) break
    }
    return { entries, lost, more: this.count > 0 }
  }
}

function rotated({ entries, oldest }: Ring): AccessEntry[] {
  return [...entries.slice(oldest), ...entries.slice(0, oldest)]
}
