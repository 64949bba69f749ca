import type { LiveTail } from './live-tail.ts'
import type { LineBatch } from './log-line.ts'

/** What one who follows a log is given. */
export type FollowEvent =
  | { type: 'lines'; batch: LineBatch }
  /** Lines between the last batch and the next one are gone or were left out. */
  | { type: 'lost'; count: number }
  /** The log is over; the last event. */
  | { type: 'end'; state: string | null }

export interface FollowSource {
  tail: LiveTail
  /** The stored lines behind `after`; undefined when there are none. */
  readAfter(after: number): Promise<LineBatch | undefined>
}

export interface FollowRequest {
  /** Begin behind this line. */
  after: number
  /**
   * Leave lines out for a reader who has been up to date and has fallen behind what is in memory. Otherwise every line is read again from
   * the disk.
   */
  skipWhenBehind: boolean
  /** Whether lines right behind `after` that are no longer kept count as lost. */
  tellGone: boolean
}

/**
 * Gives the lines of a log as they come, first those of the past. The reader's pace rules: nothing is kept for it, so a slow one costs no
 * memory.
 */
export async function* followLog(
  source: FollowSource,
  request: FollowRequest,
  signal: AbortSignal,
): AsyncGenerator<FollowEvent, void, undefined> {
  const { tail } = source
  const leave = tail.join()
  // From a log of another life (data restored from a backup): there is no such line.
  let at = Math.min(request.after, tail.head)
  let wasUpToDate = false
  let tellGone = request.tellGone
  try {
    while (!signal.aborted) {
      if (at >= tail.head) {
        if (tail.final) {
          yield { type: 'end', state: tail.final.state }
          return
        }
        wasUpToDate = true
        await tail.changed(signal)
        continue
      }
      let batch = tail.linesAfter(at)
      if (!batch && wasUpToDate && request.skipWhenBehind && tail.oldest !== undefined)
        batch = tail.linesAfter(tail.oldest - 1)
      batch ??= await source.readAfter(at)
      if (!batch) {
        // Removed since, by age or size.
        if (tellGone) yield { type: 'lost', count: tail.head - at }
        at = tail.head
        continue
      }
      if (tellGone && batch.first > at + 1) yield { type: 'lost', count: batch.first - at - 1 }
      tellGone = true
      yield { type: 'lines', batch }
      at = batch.last
    }
  } finally {
    leave()
  }
}
