import type { System } from '../../lib/system.ts'
import type { LineBatch } from './log-line.ts'

/** How often those who follow are woken at most; lines that come between go out together. */
const WAKE_MS = 100
/** The newest lines in memory, in characters, while someone follows. */
const RING_CHARACTERS = 512 * 1024

/** The newest lines of a log and those who wait for more. */
export interface LiveTail {
  /** Seq of the newest line. */
  readonly head: number
  /** How it ended, once it has. */
  readonly final: { state: string | null } | undefined
  push(batch: LineBatch): void
  end(state: string | null): void
  /** Counts a follower, for whom lines are kept; the result takes it away. */
  join(): () => void
  /** The lines behind `after` that are in memory; undefined when `after` is too long ago (or nothing is kept yet). */
  linesAfter(after: number): LineBatch | undefined
  /** Seq of the oldest line in memory. */
  readonly oldest: number | undefined
  /** Resolves when there may be something new, or the signal aborts. */
  changed(signal: AbortSignal): Promise<void>
}

export function createLiveTail(system: System, head: number): LiveTail {
  const ring: LineBatch[] = []
  let characters = 0
  let followers = 0
  let final: { state: string | null } | undefined
  const waiting = new Set<() => void>()
  let pausing = false
  let isDue = false

  const wake = (): void => {
    if (pausing) {
      isDue = true
      return
    }
    isDue = false
    pausing = true
    system.later(WAKE_MS, () => {
      pausing = false
      if (isDue) wake()
    })
    const all = [...waiting]
    waiting.clear()
    for (const each of all) each()
  }
  const forget = (): void => {
    while (ring.length > 1 && characters > RING_CHARACTERS) {
      characters -= charactersOf(ring[0])
      ring.shift()
    }
  }

  return {
    get head() {
      return head
    },
    get final() {
      return final
    },
    get oldest() {
      return ring[0]?.first
    },
    push: (batch) => {
      head = batch.last
      if (followers > 0) {
        ring.push(batch)
        characters += charactersOf(batch)
        forget()
      }
      wake()
    },
    end: (state) => {
      final = { state }
      wake()
    },
    join: () => {
      followers += 1
      return () => {
        followers -= 1
        if (followers > 0) return
        ring.length = 0
        characters = 0
      }
    },
    linesAfter: (after) => {
      const next = after + 1
      if (ring[0] === undefined || ring[0].first > next) return undefined
      const batch = ring.find(({ last }) => last >= next)
      if (!batch || batch.first === next) return batch
      return { first: next, last: batch.last, lines: batch.lines.slice(next - batch.first) }
    },
    changed: (signal) =>
      new Promise((resolve) => {
        if (signal.aborted) return resolve()
        const done = (): void => {
          waiting.delete(done)
          signal.removeEventListener('abort', done)
          resolve()
        }
        waiting.add(done)
        signal.addEventListener('abort', done, { once: true })
      }),
  }
}

function charactersOf(batch: LineBatch | undefined): number {
  return batch?.lines.reduce((sum, line) => sum + line.length, 0) ?? 0
}
