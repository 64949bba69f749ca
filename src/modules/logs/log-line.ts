/** Longer lines are cut into several: one line must fit into what is read and sent at once. */
export const MAX_LINE_LENGTH = 64 * 1024

/** The bytes of a line at its longest: six for each character that JSON must escape, and what stands around it. */
export const MAX_RECORD_BYTES = MAX_LINE_LENGTH * 6 + 1024

/**
 * Log files hold a JSON object on each line. Each begins with its `seq`, so that a place is found without reading whole lines; the rest is
 * what goes out on the wire, byte for byte. Lines of another beginning are notes of the store to itself.
 */
export function toRecord(seq: number, rest: string): string {
  return `{"seq":${seq},${rest}`
}

/** The part of a record behind its `seq`, for `toRecord`. */
export function recordRest(fields: Readonly<Record<string, unknown>>): string {
  return JSON.stringify(fields).slice(1)
}

const SEQ_START = '{"seq":'
const SEQ_BYTES = Buffer.from(SEQ_START)

/** The seq of the record that begins at `at`, or undefined when none does. */
export function seqAt(bytes: Buffer, at: number): number | undefined {
  if (
    bytes.length - at < SEQ_BYTES.length ||
    bytes.compare(SEQ_BYTES, 0, SEQ_BYTES.length, at, at + SEQ_BYTES.length) !== 0
  ) {
    return undefined
  }
  let seq = 0
  for (let digit = at + SEQ_BYTES.length; ; digit += 1) {
    const code = bytes[digit] ?? 0
    if (code === 0x2c) return seq
    if (code < 0x30 || code > 0x39) return undefined
    seq = seq * 10 + (code - 0x30)
  }
}

/** Cuts text into lines that a log takes: at line breaks, and at the greatest length. */
export function splitLines(text: string): string[] {
  return text.split('\n').flatMap((line) => {
    const bare = line.endsWith('\r') ? line.slice(0, -1) : line
    if (bare.length <= MAX_LINE_LENGTH) return [bare]
    const parts: string[] = []
    for (let at = 0; at < bare.length;) {
      let end = at + MAX_LINE_LENGTH
      // Not between the halves of a surrogate pair.
      if (end < bare.length && /[\uD800-\uDBFF]/.test(bare.charAt(end - 1))) end -= 1
      parts.push(bare.slice(at, end))
      at = end
    }
    return parts
  })
}

/** Whole lines of a log in a row. */
export interface LineBatch {
  /** Seq of the first and of the last line. */
  first: number
  last: number
  /** Records as they are stored and sent. */
  lines: readonly string[]
}

/** What a read of a log answers. */
export interface LogPage {
  /** Records, oldest first. */
  lines: string[]
  /** Whether there are more, in the direction of reading. */
  more: boolean
}

/** A page ends here, whatever was asked for. */
export const PAGE_CHARACTERS = 4 * 1024 ** 2
