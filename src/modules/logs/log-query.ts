import type { System } from '../../lib/system.ts'
import { createTurns } from '../../lib/turns.ts'
import { type LogPage, MAX_RECORD_BYTES, PAGE_CHARACTERS, seqAt } from './log-line.ts'
import type { RecordSource } from './record-search.ts'
import type { Segment } from './segment.ts'
import type { ServiceLog } from './service-log.ts'
import { readServiceRecord } from './service-record.ts'

/** Which lines of a service are wanted. */
export interface LineFilter {
  replica?: number | undefined
  deployment_id?: string | undefined
  /** Milliseconds since the epoch. */
  since_ms?: number | undefined
  until_ms?: number | undefined
  /** Text that the line contains. */
  grep?: string | undefined
}

export interface LogQuery extends LineFilter {
  limit: number
  /** Only lines behind this seq. */
  after?: number | undefined
  /** Only lines before this seq. */
  before?: number | undefined
}

const BLOCK_BYTES = 256 * 1024
const LINE_COST = 200

/** Makes a test for stored lines. */
export function createLineFilter(filter: LineFilter): (record: string) => boolean {
  const { replica, deployment_id, since_ms, until_ms } = filter
  // Compared as JSON on both sides, so that no line need be parsed.
  const needle = filter.grep === undefined ? undefined : JSON.stringify(filter.grep).slice(1, -1)
  return (record) => {
    const head = readServiceRecord(record)
    if (!head) return false
    if (replica !== undefined && head.replica !== replica) return false
    if (deployment_id !== undefined && head.deployment_id !== deployment_id) return false
    if (since_ms !== undefined || until_ms !== undefined) {
      const ms = Date.parse(head.ts)
      if (ms < (since_ms ?? -Infinity) || ms > (until_ms ?? Infinity)) return false
    }
    return needle === undefined || record.indexOf(needle, head.text_at) !== -1
  }
}

/** The newest lines that are wanted, oldest first. Reads backwards and stops as soon as there are enough. */
export async function queryLog(
  log: ServiceLog,
  query: LogQuery,
  system: System,
  signal: AbortSignal,
): Promise<LogPage> {
  const { after = 0, before = Infinity } = query
  const matches = createLineFilter(query)
  const turns = createTurns(system, LINE_COST)
  const found: string[] = []
  let characters = 0
  for (const segment of log.segments()) {
    if (segment.first >= before || segment.last <= after || !overlaps(segment, query)) continue
    const isFull = await log.useSegment(segment, async (source) => {
      for await (const lines of linesBackward(source)) {
        signal.throwIfAborted()
        for (const { seq, record } of lines) {
          if (seq <= after) return false
          await turns.take(record.length)
          if (seq >= before || !matches(record)) continue
          if (found.length >= query.limit || characters > PAGE_CHARACTERS) return true
          found.push(record)
          characters += record.length
        }
      }
      return false
    })
    if (isFull === true) return { lines: found.toReversed(), more: true }
  }
  return { lines: found.toReversed(), more: false }
}

function overlaps(segment: Segment, { since_ms, until_ms }: LineFilter): boolean {
  return segment.max_ms >= (since_ms ?? -Infinity) && segment.min_ms <= (until_ms ?? Infinity)
}

/** The records of a source, newest first, in blocks. */
async function* linesBackward(
  source: RecordSource,
): AsyncGenerator<{ seq: number; record: string }[], void, undefined> {
  let end = source.size
  for (let length = BLOCK_BYTES; end > 0;) {
    const from = Math.max(0, end - length)
    const bytes = await source.read(from, end - from)
    // Of what does not begin at a line's start the beginning is left to the next block.
    const start = from === 0 ? 0 : bytes.indexOf(0x0a) + 1
    if (start === bytes.length || (start === 0 && from > 0)) {
      // One line fills the block.
      if (length > MAX_RECORD_BYTES * 2) return
      length += MAX_RECORD_BYTES
      continue
    }
    length = BLOCK_BYTES
    yield readRecords(bytes, start)
    end = from + start
  }
}

function readRecords(bytes: Buffer, start: number): { seq: number; record: string }[] {
  const records: { seq: number; record: string }[] = []
  for (let at = start; at < bytes.length;) {
    const newline = bytes.indexOf(0x0a, at)
    const end = newline === -1 ? bytes.length : newline
    const seq = seqAt(bytes, at)
    if (seq !== undefined) records.push({ seq, record: bytes.toString('utf8', at, end) })
    at = end + 1
  }
  return records.toReversed()
}
