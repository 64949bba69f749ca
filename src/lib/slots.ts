import { AppError } from './errors.ts'
import type { System } from './system.ts'

/** Lets a bounded number of callers at something costly at once; the others wait in the order in which they came. */
export interface Slots {
  /**
   * Waits for a slot; the result gives it back. Throws BUSY when too many wait or the wait is too long, and the signal's reason when it
   * aborts. `owner`: on whose behalf; whoever stands behind one that has all it may have passes by.
   */
  acquire(signal: AbortSignal, owner?: string): Promise<() => void>
}

export interface SlotLimits {
  slots: number
  /** Most callers that wait. */
  waiting: number
  waitMs: number
  /** What of both one owner may have at a time, so that the others are not kept out. */
  ofOne?: { slots: number; waiting: number }
}

interface Waiting {
  owner: string | undefined
  enter: () => void
}

export function createSlots(system: System, limits: SlotLimits): Slots {
  let free = limits.slots
  const queue = new Set<Waiting>()
  /** The owners of the slots that are held. */
  const holders: (string | undefined)[] = []

  const isFree = (owner: string | undefined): boolean =>
    free > 0 && (!limits.ofOne || countOf(owner, holders) < limits.ofOne.slots)
  const take = (owner: string | undefined): (() => void) => {
    free -= 1
    holders.push(owner)
    let isHeld = true
    return () => {
      if (!isHeld) return
      isHeld = false
      free += 1
      holders.splice(holders.indexOf(owner), 1)
      for (const each of queue) if (isFree(each.owner)) each.enter()
    }
  }
  const isCrowded = (owner: string | undefined): boolean => {
    if (queue.size >= limits.waiting) return true
    const owners = [...queue].map((each) => each.owner)
    return limits.ofOne !== undefined && countOf(owner, owners) >= limits.ofOne.waiting
  }
  const wait = (signal: AbortSignal, owner: string | undefined): Promise<() => void> =>
    new Promise((resolve, reject) => {
      const leave = (): void => {
        queue.delete(waiting)
        cancelTimer()
        signal.removeEventListener('abort', abort)
      }
      const waiting = {
        owner,
        enter: () => {
          leave()
          resolve(take(owner))
        },
      }
      const abort = (): void => {
        leave()
        reject(signal.reason as Error)
      }
      const cancelTimer = system.later(limits.waitMs, () => {
        leave()
        reject(new AppError('BUSY', { retryAfterSeconds: RETRY_AFTER_SECONDS }))
      })
      signal.addEventListener('abort', abort, { once: true })
      queue.add(waiting)
    })

  return {
    acquire: async (signal, owner) => {
      signal.throwIfAborted()
      if (isFree(owner)) return take(owner)
      if (isCrowded(owner)) throw new AppError('BUSY', { retryAfterSeconds: RETRY_AFTER_SECONDS })
      return wait(signal, owner)
    },
  }
}

/** Callers without an owner are everyone's. */
function countOf(owner: string | undefined, owners: readonly (string | undefined)[]): number {
  return owner === undefined ? 0 : owners.filter((each) => each === owner).length
}

const RETRY_AFTER_SECONDS = 10
