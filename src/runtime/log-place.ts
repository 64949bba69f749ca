import type { LogChunk } from './runtime.ts'

/**
 * Remembers how far a reader of output has come, so that reading again from a little earlier gives nothing twice. Each stream has a place of
 * its own: the engine keeps the lines of one in order, but not those of the two among each other.
 */
export interface LogPlace {
  /** Takes note of a chunk that was read. */
  pass(chunk: LogChunk): void
  /** From when on to read again; undefined when nothing was read yet. */
  since(): string | undefined
  /** Whether a chunk of the second reading is beyond the place. To be asked of every chunk once, in order. */
  isNew(chunk: LogChunk): boolean
}

interface Mark {
  ts: string
  /** How many chunks bear this instant. */
  count: number
}

/** The instants are the engine's own: one form, nine digits, so that they compare as text. */
export function createLogPlace(): LogPlace {
  const marks = new Map<LogChunk['stream'], Mark>()
  const repeated = new Map<LogChunk['stream'], number>()

  return {
    pass: ({ stream, ts }) => {
      const mark = marks.get(stream)
      if (mark?.ts === ts) mark.count += 1
      else if (!mark || mark.ts < ts) marks.set(stream, { ts, count: 1 })
    },
    since: () => [...marks.values()].map(({ ts }) => ts).toSorted()[0],
    isNew: ({ stream, ts }) => {
      const mark = marks.get(stream)
      if (!mark || ts > mark.ts) return true
      if (ts < mark.ts) return false
      const count = (repeated.get(stream) ?? 0) + 1
      repeated.set(stream, count)
      return count > mark.count
    },
  }
}
