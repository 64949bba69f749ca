import { open } from 'node:fs/promises'
import { type LineBatch, MAX_RECORD_BYTES, seqAt } from './log-line.ts'

/** Bytes of records that can be read at any place: a file, or memory. */
export interface RecordSource {
  readonly size: number
  read(offset: number, length: number): Promise<Buffer>
}

/** How much is read and sent at once. */
export const BATCH_BYTES = 128 * 1024
const PROBE_BYTES = 8 * 1024

/** Runs `use` over the first `size` bytes of a file. */
export async function withFileSource<T>(
  path: string,
  size: number,
  use: (source: RecordSource) => Promise<T>,
): Promise<T> {
  const handle = await open(path, 'r')
  try {
    return await use({
      size,
      read: async (offset, length) => {
        const buffer = Buffer.allocUnsafe(Math.max(0, Math.min(length, size - offset)))
        const { bytesRead } = await handle.read(buffer, 0, buffer.length, offset)
        return buffer.subarray(0, bytesRead)
      },
    })
  } finally {
    await handle.close()
  }
}

export function memorySource(bytes: Buffer): RecordSource {
  return { size: bytes.length, read: async (offset, length) => bytes.subarray(offset, offset + length) }
}

/** The records behind `after`, as many as go into one batch; undefined when there are none. */
export async function readBatchAfter(
  source: RecordSource,
  after: number,
  maxLines = Infinity,
): Promise<LineBatch | undefined> {
  let offset = await findOffset(source, after)
  while (offset < source.size) {
    const bytes = await readWholeLines(source, offset)
    if (bytes.length === 0) return undefined
    const batch = takeBatch(bytes, after, maxLines)
    if (batch) return batch
    offset += bytes.length
  }
  return undefined
}

/** An offset at a line's start, at or before the first record behind `after`, found by halving. */
async function findOffset(source: RecordSource, after: number): Promise<number> {
  let low = 0
  let high = source.size
  while (high - low > BATCH_BYTES) {
    const found = await firstRecordIn(source, low + Math.floor((high - low) / 2), high)
    // `low` is always the start of a line, and of one that is not too far.
    if (found === undefined || found.seq > after) high = low + Math.floor((high - low) / 2)
    else low = found.offset
  }
  return low
}

async function firstRecordIn(
  source: RecordSource,
  from: number,
  to: number,
): Promise<{ seq: number; offset: number } | undefined> {
  for (let length = PROBE_BYTES; ; length *= 8) {
    const bytes = await source.read(from, Math.min(length, to - from))
    for (let at = bytes.indexOf(0x0a) + 1; at > 0; at = bytes.indexOf(0x0a, at) + 1) {
      const seq = seqAt(bytes, at)
      if (seq !== undefined) return { seq, offset: from + at }
    }
    if (length >= to - from || length > MAX_RECORD_BYTES * 2) return undefined
  }
}

async function readWholeLines(source: RecordSource, offset: number): Promise<Buffer> {
  for (let length = BATCH_BYTES; ; length += MAX_RECORD_BYTES) {
    const bytes = await source.read(offset, length)
    const end = bytes.lastIndexOf(0x0a) + 1
    if (end > 0 || bytes.length < length) return bytes.subarray(0, end)
  }
}

function takeBatch(bytes: Buffer, after: number, maxLines: number): LineBatch | undefined {
  const lines: string[] = []
  let first = 0
  let last = 0
  for (let at = 0; at < bytes.length && lines.length < maxLines;) {
    const end = bytes.indexOf(0x0a, at)
    const seq = seqAt(bytes, at)
    if (seq !== undefined && seq > after) {
      if (lines.length === 0) first = seq
      last = seq
      lines.push(bytes.toString('utf8', at, end))
    }
    at = end + 1
  }
  return lines.length > 0 ? { first, last, lines } : undefined
}
