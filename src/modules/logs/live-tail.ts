import type { System } from '../../lib/system.ts'
import type { LineBatch } from './log-line.ts'

/** How often those who follow are woken at most; lines that come between go out together. */
const WAKE_MS = 100
/** The newest lines in memory, in characters, while someone follows. */
const RING_CHARACTERS = 512 * 1024
const GATHERED_CHARACTERS = 128 * 1024

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
  let gathered: { after: number; head: number; batch: LineBatch } | undefined

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
        gathered = undefined
      }
    },
    linesAfter: (after) => {
      const from = ring.findLastIndex(({ first }) => first <= after + 1)
      if (from === -1 || after >= head) return undefined
      // All who were up to date at the last wake ask for the same, and are to get the same, so that it is made ready once.
      if (gathered?.after !== after || gathered.head !== head) {
        gathered = { after, head, batch: gather(ring, from, after + 1) }
      }
      return gathered.batch
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

/** One batch of the lines from `first` on, of about a size that is sent at once. */
function gather(ring: readonly LineBatch[], from: number, first: number): LineBatch {
  const lines: string[] = []
  let last = first - 1
  let characters = 0
  for (let index = from; index < ring.length && characters < GATHERED_CHARACTERS; index += 1) {
    const batch = ring[index]
    if (!batch) break
    lines.push(...(batch.first < first ? batch.lines.slice(first - batch.first) : batch.lines))
    last = batch.last
    characters += charactersOf(batch)
  }
  return { first, last, lines }
}

function charactersOf(batch: LineBatch | undefined): number {
  return batch?.lines.reduce((sum, line) => sum + line.length, 0) ?? 0
}
