import { readdir, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { System } from '../../lib/system.ts'
import { createTurns } from '../../lib/turns.ts'
import { openJournalFile } from './journal-file.ts'
import { passLine } from './output-place.ts'
import { withFileSource } from './record-search.ts'
import { readCompressedName, readPlainName, type Segment } from './segment.ts'
import { originKey, type Places, readPlacesNote, readServiceRecord } from './service-record.ts'

/** What a directory of segments holds. */
export interface SegmentIndex {
  /** Oldest first; the last one may go on. */
  segments: Segment[]
  /** Where the output of each container was left off. */
  places: Places
}

/** What a plain segment holds; its end is repaired when a crash tore it. */
export interface SegmentScan {
  segment: Segment
  places: Places
}

const RECORD_COST = 200

/** Looks through a directory of segments and tidies what a crash left in it. */
export async function readSegmentIndex(directory: string, system: System): Promise<SegmentIndex> {
  const names = (await listNames(directory)).toSorted()
  const segments: Segment[] = []
  let places: Places = new Map()
  for (const name of names) {
    const path = join(directory, name)
    if (name.endsWith('.tmp')) await rm(path, { force: true })
    const compressed = readCompressedName(name, 0)
    if (compressed) segments.push({ ...compressed, bytes: (await stat(path)).size })
    const first = readPlainName(name)
    if (first === undefined) continue
    // A crash came between the making of the compressed one and the removal of this one.
    const isDouble = names.some((other) => readCompressedName(other, 0)?.first === first)
    if (isDouble) await rm(path, { force: true })
    else {
      const scan = await scanSegment(directory, name, first, system)
      places = scan.places
      segments.push(scan.segment)
    }
  }
  return { segments: segments.toSorted((a, b) => a.first - b.first), places }
}

async function scanSegment(
  directory: string,
  name: string,
  first: number,
  system: System,
): Promise<SegmentScan> {
  const path = join(directory, name)
  const file = await openJournalFile(path)
  await file.close()
  const segment: Segment = {
    name,
    first,
    last: Math.max(first - 1, file.lastSeq),
    min_ms: Infinity,
    max_ms: 0,
    bytes: file.size,
  }
  let places: Places = new Map()
  const turns = createTurns(system, RECORD_COST)
  await withFileSource(path, file.size, async (source) => {
    const text = (await source.read(0, file.size)).toString('utf8')
    for (let at = 0; at < text.length;) {
      const end = text.indexOf('\n', at)
      const line = text.slice(at, end)
      await turns.take(line.length)
      const head = readServiceRecord(line)
      if (head) {
        widen(segment, Date.parse(head.ts))
        const place = places.get(originKey(head)) ?? {}
        passLine(place, { ...head, line: '' })
        places.set(originKey(head), place)
      } else places = readPlacesNote(line) ?? places
      at = end + 1
    }
  })
  return { segment, places }
}

/** Takes an instant into the span of a segment. */
export function widen(segment: Segment, ms: number): void {
  if (ms < segment.min_ms) segment.min_ms = ms
  if (ms > segment.max_ms) segment.max_ms = ms
}

async function listNames(directory: string): Promise<string[]> {
  try {
    return await readdir(directory)
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return []
    throw error
  }
}
