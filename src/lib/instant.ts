const FIRST_MS = Date.parse('0000-01-01T00:00:00Z')
const LAST_MS = Date.parse('9999-12-31T23:59:59.999Z')

/**
 * Milliseconds since the epoch of an RFC 3339 instant; undefined for what no clock here shows (leap seconds) and for what UTC puts outside the
 * years 0 to 9999: with more digits or a sign, instants would not sort as their text does.
 */
export function readInstant(text: string): number | undefined {
  const at = Date.parse(text)
  return at >= FIRST_MS && at <= LAST_MS ? at : undefined
}
