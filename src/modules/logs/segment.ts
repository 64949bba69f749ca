import { compress } from '@mongodb-js/zstd'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { zstdDecompress } from 'node:zlib'
import { writeDurableFile } from '../../lib/durable-file.ts'
import { MAX_RECORD_BYTES } from './log-line.ts'

/** A closed piece of a service's log. */
export interface Segment {
  name: string
  first: number
  last: number
  /** Oldest and newest instant in it, in milliseconds since the epoch. */
  min_ms: number
  max_ms: number
  /** On the disk. */
  bytes: number
}

/** A segment is closed when it has reached this size. */
export const SEGMENT_BYTES = 4 * 1024 ** 2
/** The last write into it may be large. */
const MAX_SEGMENT_BYTES = SEGMENT_BYTES * 2 + MAX_RECORD_BYTES

const PLAIN = /^(\d{16})\.jsonl$/
const COMPRESSED = /^(\d{16})-(\d{16})-(\d{13,14})-(\d{13,14})\.jsonl\.zst$/

function pad(seq: number): string {
  return String(seq).padStart(16, '0')
}

/** The name of a segment that is written to. */
export function plainName(first: number): string {
  return `${pad(first)}.jsonl`
}

/** The first seq of a segment by the name of a plain file; undefined when it is none. */
export function readPlainName(name: string): number | undefined {
  const match = PLAIN.exec(name)
  return match ? Number(match[1]) : undefined
}

/** All that is known of a compressed segment is in its name, so that nothing need be read at start. */
function compressedName({ first, last, min_ms, max_ms }: Segment): string {
  const instant = (ms: number): string =>
    String(Number.isFinite(ms) ? Math.max(0, Math.trunc(ms)) : 0).padStart(13, '0')
  return `${pad(first)}-${pad(last)}-${instant(min_ms)}-${instant(max_ms)}.jsonl.zst`
}

export function readCompressedName(name: string, bytes: number): Segment | undefined {
  const match = COMPRESSED.exec(name)
  if (!match) return undefined
  const [, first, last, min, max] = match.map(Number)
  return { name, first: first ?? 0, last: last ?? 0, min_ms: min ?? 0, max_ms: max ?? 0, bytes }
}

export function isCompressed(segment: Segment): boolean {
  return segment.name.endsWith('.zst')
}

/** Makes a compressed file beside a plain segment's, away from the event loop. The plain one is removed once nobody is sent to it. */
export async function compressSegment(directory: string, segment: Segment): Promise<Segment> {
  const bytes = await compress(await readFile(join(directory, segment.name)))
  const name = compressedName(segment)
  await writeDurableFile(join(directory, name), bytes)
  return { ...segment, name, bytes: bytes.length }
}

const decompress = promisify(zstdDecompress)

/** The records of a closed segment. */
export async function readSegment(directory: string, segment: Segment): Promise<Buffer> {
  const bytes = await readFile(join(directory, segment.name))
  return isCompressed(segment) ? decompress(bytes, { maxOutputLength: MAX_SEGMENT_BYTES }) : bytes
}
