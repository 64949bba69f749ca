import { AppError } from './errors.ts'
import type { System } from './system.ts'

/** Lets a bounded number of callers at something costly at once; the others wait in the order in which they came. */
export interface Slots {
  /**
   * Waits for a slot; the result gives it back. Throws BUSY when too many wait or the wait is too long, and the signal's reason when it
   * aborts.
   */
  acquire(signal: AbortSignal): Promise<() => void>
}

export interface SlotLimits {
  slots: number
  /** Most callers that wait. */
  waiting: number
  waitMs: number
}

export function createSlots(system: System, limits: SlotLimits): Slots {
  let free = limits.slots
  const queue = new Set<() => void>()

  const release = (): (() => void) => {
    let isHeld = true
    return () => {
      if (!isHeld) return
      isHeld = false
      const [next] = queue
      if (next) next()
      else free += 1
    }
  }
  const wait = (signal: AbortSignal): Promise<() => void> =>
    new Promise((resolve, reject) => {
      const leave = (): void => {
        queue.delete(enter)
        cancelTimer()
        signal.removeEventListener('abort', abort)
      }
      const enter = (): void => {
        leave()
        resolve(release())
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
      queue.add(enter)
    })

  return {
    acquire: async (signal) => {
      signal.throwIfAborted()
      if (free > 0) {
        free -= 1
        return release()
      }
      if (queue.size >= limits.waiting) throw new AppError('BUSY', { retryAfterSeconds: RETRY_AFTER_SECONDS })
      return wait(signal)
    },
  }
}

const RETRY_AFTER_SECONDS = 10
