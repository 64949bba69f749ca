import type { LogChunk } from '../../runtime/runtime.ts'
import { MAX_LINE_LENGTH } from './log-line.ts'

/** A whole line of a container. */
export interface OutputLine {
  stream: 'stdout' | 'stderr'
  ts: string
  line: string
}

/** How far a stream was read: its newest instant, and how many lines bear it. */
export interface StreamMark {
  ts: string
  count: number
}

/**
 * How far a container's output was stored. Each stream has a mark of its own: the engine keeps the lines of one in order, but not those of
 * the two among each other.
 */
export type OutputPlace = Partial<Record<OutputLine['stream'], StreamMark>>

/** How far the two streams may be out of order between each other. */
const OVERLAP_MS = 1000

/** Takes note of a line that was stored. */
export function passLine(place: OutputPlace, { stream, ts }: OutputLine): void {
  const mark = place[stream]
  if (mark?.ts === ts) mark.count += 1
  else if (!mark || mark.ts < ts) place[stream] = { ts, count: 1 }
}

/** From when on to read again, a little early: `createNewLineFilter` leaves out what was stored. */
export function resumeInstant(place: OutputPlace): string | undefined {
  const instants = [place.stdout?.ts, place.stderr?.ts].filter((ts) => ts !== undefined).toSorted()
  const oldest = instants[0]
  const newest = instants.at(-1)
  if (oldest === undefined || newest === undefined) return undefined
  const early = new Date(Date.parse(newest) - OVERLAP_MS).toISOString()
  return oldest < early ? normalizeInstant(early) : oldest
}

/** Answers for each line of a second reading, in order, whether it is beyond the place. */
export function createNewLineFilter(place: OutputPlace): (line: OutputLine) => boolean {
  const marks = structuredClone(place)
  const repeated = { stdout: 0, stderr: 0 }
  return ({ stream, ts }) => {
    const mark = marks[stream]
    if (!mark || ts > mark.ts) return true
    if (ts < mark.ts) return false
    repeated[stream] += 1
    return repeated[stream] > mark.count
  }
}

/** Gives an instant nine digits behind the point, so that instants compare as text. */
export function normalizeInstant(ts: string): string {
  const [whole = '', fraction = ''] = ts.replace(/Z$/, '').split('.')
  return `${whole}.${fraction.padEnd(9, '0').slice(0, 9)}Z`
}

/** Puts lines together that the engine has split. */
export interface LineJoiner {
  /** The lines that this chunk completes. */
  push(chunk: LogChunk): OutputLine[]
  /** The beginnings of lines that never got their end. */
  rest(): OutputLine[]
}

export function createLineJoiner(): LineJoiner {
  const open = new Map<OutputLine['stream'], OutputLine>()

  return {
    push: (chunk) => {
      const lines: OutputLine[] = []
      const ts = normalizeInstant(chunk.ts)
      let begun = open.get(chunk.stream)
      // All pieces of a line bear one instant. Another one: the container died within that line.
      if (begun && (begun.ts !== ts || begun.line.length + chunk.line.length > MAX_LINE_LENGTH)) {
        lines.push(begun)
        begun = undefined
      }
      const line = { stream: chunk.stream, ts, line: `${begun?.line ?? ''}${chunk.line}` }
      if (chunk.partial) open.set(chunk.stream, line)
      else {
        open.delete(chunk.stream)
        lines.push(line)
      }
      return lines
    },
    rest: () => {
      const lines = [...open.values()]
      open.clear()
      return lines
    },
  }
}
