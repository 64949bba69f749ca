/** Control characters but tab, and those of Unicode that break lines or reorder what is shown. */
const HARMFUL = /(?!\t)\p{Cc}|[\u061C\u200E\u200F\u2028-\u202E\u2066-\u2069]/gu
const ESCAPE = '\u001B'
/** Colours and weights (ECMA-48, SGR): the only sequences that are let through, and only in output of applications. */
const STYLE = new RegExp(`${ESCAPE}\\[[\\d;:]{0,32}m`, 'g')
const NO_STYLE = `${ESCAPE}[0m`

/** Text from elsewhere on one line, safe for a terminal: what could steer it is spelled out. */
export function plain(text: string): string {
  return text.replaceAll(HARMFUL, spellOut)
}

/** Text from elsewhere on several lines, safe for a terminal. */
export function plainLines(text: string): string {
  return text.split(/\r?\n/).map(plain).join('\n')
}

/** A line that an application wrote, safe for a terminal; its colours stay when `styled`. */
export function plainOutput(line: string, styled: boolean): string {
  const parts = lastOverwrite(line).split(STYLE)
  if (!styled || parts.length === 1) return parts.map(plain).join('')
  const styles = lastOverwrite(line).match(STYLE) ?? []
  return `${parts.map((part, index) => `${plain(part)}${styles[index] ?? ''}`).join('')}${NO_STYLE}`
}

/** Progress bars rewrite their line with carriage returns: what would be left to see counts. */
function lastOverwrite(line: string): string {
  const trimmed = line.replace(/\r+$/, '')
  return trimmed.slice(trimmed.lastIndexOf('\r') + 1)
}

/** JSON whose strings cannot steer a terminal either; JSON.stringify escapes less. */
export function plainJson(value: unknown, indent: number): string {
  const text = JSON.stringify(value, undefined, indent) ?? 'null'
  return text.replaceAll(HARMFUL, (character) =>
    character === '\n' ? character : `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}

function spellOut(character: string): string {
  const code = character.charCodeAt(0)
  if (code < 0x20) return `^${String.fromCharCode(code + 0x40)}`
  return `\\u{${code.toString(16)}}`
}
