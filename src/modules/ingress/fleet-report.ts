import type { IngressWorkerStatus, TakenNotes } from '../../ingress/contract/control-protocol.ts'
import { AppError } from '../../lib/errors.ts'
import type { WorkerFleet } from './worker-fleet.ts'
import type { WorkerLink } from './worker-link.ts'

/** What runs through a set of replicas, over all workers. */
export interface InFlight {
  requests: number
  upgraded: number
}

/** Notes that a worker is asked for at once: a millisecond of its time. */
const NOTES_AT_ONCE = 1000
/** What comes faster is lost in the end, and counted. */
const TURNS = 16

/** As many as one worker has at most; there is one for each of several workers at the most, and they are collected twice a second. */
const MAX_LEFT = 65_536

/** What workers have noted that have ended since. Nobody may come for it: then it is bounded. */
export class LeftNotes {
  private notes: TakenNotes = { entries: [], lost: [] }

  add({ entries, lost }: TakenNotes): void {
    const room = MAX_LEFT - this.notes.entries.length
    this.notes.entries.push(...entries.slice(0, room))
    if (this.notes.lost.length < MAX_LEFT) this.notes.lost.push(...lost)
  }

  take(): TakenNotes {
    const { notes } = this
    this.notes = { entries: [], lost: [] }
    return notes
  }
}

/** Takes what the workers noted of requests since the last time. */
export async function collectRequests(fleet: WorkerFleet, left: LeftNotes): Promise<TakenNotes> {
  const notes = left.take()
  for (const link of fleet.links()) {
    for (let turn = 0, more = true; more && turn < TURNS; turn += 1) {
      // One that ends leaves its last notes for the next time.
      const taken = await link.takeRequests(NOTES_AT_ONCE).catch(() => undefined)
      notes.entries.push(...(taken?.entries ?? []))
      notes.lost.push(...(taken?.lost ?? []))
      more = taken?.more ?? false
    }
  }
  return notes
}

/** A worker that cannot be told goes on with the key that it has. */
export async function renewTickets(fleet: WorkerFleet): Promise<void> {
  await Promise.allSettled(fleet.links().map((link) => link.renewTickets()))
}

/** The status of every worker that answers. */
export async function askAll(fleet: WorkerFleet): Promise<IngressWorkerStatus[]> {
  const answers = await Promise.allSettled(fleet.links().map((link) => link.refresh()))
  return answers.flatMap((answer) => (answer.status === 'fulfilled' ? [answer.value] : []))
}

/** Counts what runs through replicas; throws BUSY when a live worker cannot be asked. */
export async function countInFlight(fleet: WorkerFleet, ids: ReadonlySet<string>): Promise<InFlight> {
  await fleet.discover()
  const total: InFlight = { requests: 0, upgraded: 0 }
  for (const link of fleet.links()) {
    for (const upstream of (await requireStatus(link)).upstreams) {
      if (!ids.has(upstream.id)) continue
      total.requests += upstream.requests
      total.upgraded += upstream.upgraded
    }
  }
  return total
}

/** The replicas that were sent something lately; throws BUSY like `countInFlight`. */
export async function listActive(fleet: WorkerFleet): Promise<Set<string>> {
  await fleet.discover()
  const active = new Set<string>()
  for (const link of fleet.links()) {
    const status = await requireStatus(link)
    // One that does not say is taken at its word that it is about to be replaced.
    if (status.active === undefined) throw new AppError('BUSY')
    for (const id of status.active) active.add(id)
  }
  return active
}

async function requireStatus(link: WorkerLink): Promise<IngressWorkerStatus> {
  try {
    return await link.refresh()
  } catch (error) {
    throw new AppError('BUSY', { cause: error })
  }
}
