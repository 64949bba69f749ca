/** Replaces secret values in text. */
export interface Masker {
  mask(text: string): string
}

export const MASK = '***'

/** Shorter values would hide half of every log, and are guessed anyway. */
const SHORTEST = 4
/** Parts of an encoded value that are shorter than this could be anything. */
const SHORTEST_ENCODED = 8

/** What stands in most environments and hides nothing: masking it would make logs unreadable. */
const EVERYDAY =
  /^(\d{1,5}|true|false|none|null|undefined|default|enabled|disabled|production|development|staging|test|local|trace|debug|info|warn|warning|error|localhost|127\.0\.0\.1|0\.0\.0\.0)$/i

/** Where a value may begin: two bits of its first four characters, so that most positions cost one look. */
const FILTER_SIZE = 1 << 16

/**
 * Makes a masker for these values, also where they stand in base64 (at any offset in it, both alphabets), in a URL or in a JSON string, and
 * for each line of a value of several lines. Values of fewer than four characters, port numbers and everyday words such as `production` are
 * left alone. Its cost grows with the text, not with the number of values.
 */
export function createMasker(values: readonly string[]): Masker {
  const needles = new Set(values.flatMap(formsOf))
  if (needles.size === 0) return { mask: (text) => text }
  const filter = new Uint8Array(FILTER_SIZE)
  const byStart = new Map<string, string[]>()
  for (const needle of needles) {
    filter[startHash(needle, 0)] = 1
    const start = needle.slice(0, SHORTEST)
    byStart.set(start, [...(byStart.get(start) ?? []), needle])
  }
  const longestAt = (text: string, at: number): number => {
    let longest = 0
    for (const needle of byStart.get(text.slice(at, at + SHORTEST)) ?? []) {
      if (needle.length > longest && text.startsWith(needle, at)) longest = needle.length
    }
    return longest
  }
  return { mask: (text) => maskRanges(text, filter, longestAt) }
}

function maskRanges(
  text: string,
  filter: Uint8Array,
  longestAt: (text: string, at: number) => number,
): string {
  let masked = ''
  /** Up to where the text is in `masked` already. */
  let done = 0
  /** The range that is being masked; ranges that overlap become one, so that no end of a value is left over. */
  let from = -1
  let to = -1
  for (let at = 0; at <= text.length - SHORTEST; at += 1) {
    if (filter[startHash(text, at)] === 0) continue
    const length = longestAt(text, at)
    if (length === 0) continue
    if (at > to) {
      if (from >= 0) {
        masked += `${text.slice(done, from)}${MASK}`
        done = to
      }
      from = at
    }
    to = Math.max(to, at + length)
  }
  if (from < 0) return text
  return `${masked}${text.slice(done, from)}${MASK}${text.slice(to)}`
}

function startHash(text: string, at: number): number {
  const [a, b, c, d] = [
    text.charCodeAt(at),
    text.charCodeAt(at + 1),
    text.charCodeAt(at + 2),
    text.charCodeAt(at + 3),
  ]
  return (a ^ (b << 4) ^ (c << 8) ^ (d << 11)) & (FILTER_SIZE - 1)
}

/** All texts by which a value would be readable. */
function formsOf(value: string): string[] {
  const lines = value.split(/\r\n|\r|\n/).map((line) => line.trim())
  const plain = [value, value.trim(), ...lines].filter(
    (text) => text.length >= SHORTEST && !EVERYDAY.test(text),
  )
  return plain.flatMap((text) =>
    [text, encodeUrl(text), JSON.stringify(text).slice(1, -1)].concat(base64Forms(text)),
  )
}

function encodeUrl(text: string): string {
  // A lone surrogate has no encoding.
  return encodeURIComponent(text.toWellFormed())
}

/** Base64 takes three bytes at a time, so a value looks different at each offset; only the characters that are wholly its own count. */
function base64Forms(text: string): string[] {
  const bytes = Buffer.from(text)
  const forms: string[] = []
  for (let offset = 0; offset < 3; offset += 1) {
    const encoded = Buffer.concat([Buffer.alloc(offset), bytes]).toString('base64')
    const first = Math.ceil((offset * 8) / 6)
    const last = Math.floor(((offset + bytes.length) * 8) / 6)
    const own = encoded.slice(first, last)
    if (own.length >= SHORTEST_ENCODED) forms.push(own, own.replaceAll('+', '-').replaceAll('/', '_'))
  }
  return forms
}
