/** A part of a representation; `end` is exclusive. */
export interface ByteRange {
  readonly start: number
  readonly end: number
}

/**
 * Reads a Range header (RFC 9110, section 14.2) against a size. `undefined`: send everything, because the header is none of ours or asks
 * for several parts; `unsatisfiable`: 416.
 */
export function parseRange(
  header: string | undefined,
  size: number,
): ByteRange | undefined | 'unsatisfiable' {
  const match = /^bytes=\s*(\d{0,15})-(\d{0,15})\s*$/.exec(header ?? '')
  if (!match || (match[1] === '' && match[2] === '')) return undefined
  if (match[1] === '') {
    const length = Number(match[2])
    return length === 0 || size === 0 ? 'unsatisfiable' : { start: Math.max(0, size - length), end: size }
  }
  const start = Number(match[1])
  const end = match[2] === '' ? size : Math.min(size, Number(match[2]) + 1)
  return start >= size || start >= end ? 'unsatisfiable' : { start, end }
}

/** Reads the Content-Range of a chunk: `a-b`, also with the `bytes` unit and a total that some clients send. */
export function parseChunkRange(header: string): { start: number; last: number } | undefined {
  const match = /^(?:bytes[ =])?(\d{1,15})-(\d{1,15})(?:\/(?:\d+|\*))?$/.exec(header.trim())
  return match ? { start: Number(match[1]), last: Number(match[2]) } : undefined
}
