import { HeaderKind, headerKind } from './header-names.ts'

/** Why a header section is refused: a short name for logs and counters. */
export type FieldFault = 'header_name' | 'header_value' | 'line_ending' | 'header_count' | 'framing_blank'

const TAB = 0x09
const LF = 0x0a
const CR = 0x0d
const SPACE = 0x20
const COLON = 0x3a
const DEL = 0x7f

/** tchar of RFC 9110, section 5.6.2. */
const TOKEN = new Uint8Array(256)
for (const char of "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") {
  TOKEN[char.charCodeAt(0)] = 1
}

/**
 * Splits the field lines of `text` from `start` to `end`, the index just behind the empty line, into names and values in turn. Strict
 * where a lenient reading could let two parties disagree about where a message ends (RFC 9112, sections 2.2 and 5): no blank before
 * a colon, no folding, no bare line ending, no control character.
 */
export function readFieldLines(
  text: string,
  start: number,
  end: number,
  maxFields: number,
  into: string[],
): FieldFault | undefined {
  const last = end - 2
  let at = start
  let count = 0
  while (at < last) {
    count += 1
    if (count > maxFields) return 'header_count'
    let colon = at
    while (TOKEN[text.charCodeAt(colon)] === 1) colon += 1
    if (colon === at || text.charCodeAt(colon) !== COLON) return 'header_name'
    const name = text.slice(at, colon)
    let from = colon + 1
    let code = text.charCodeAt(from)
    let tab = false
    while (code === SPACE || code === TAB) {
      tab ||= code === TAB
      code = text.charCodeAt((from += 1))
    }
    let to = from
    while (code !== CR) {
      if ((code < SPACE && code !== TAB) || code === DEL) return code === LF ? 'line_ending' : 'header_value'
      code = text.charCodeAt((to += 1))
    }
    if (text.charCodeAt(to + 1) !== LF) return 'line_ending'
    at = to + 2
    code = text.charCodeAt(to - 1)
    while (to > from && (code === SPACE || code === TAB)) {
      tab ||= code === TAB
      code = text.charCodeAt((to -= 1) - 1)
    }
    // Some parsers do not take a tab for a blank around the values that frame a message, so that they would see another framing.
    if (tab && framesMessage(name)) return 'framing_blank'
    into.push(name, text.slice(from, to))
  }
  return undefined
}

function framesMessage(name: string): boolean {
  const kind = headerKind(name)
  return kind === HeaderKind.contentLength || kind === HeaderKind.transferEncoding
}
