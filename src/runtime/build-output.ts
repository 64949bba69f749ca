/** As long as a line of container output, so that one log store holds both. */
export const MAX_BUILD_LINE_BYTES = 16 * 1024

const NEWLINE = 0x0a

/** Escape sequences of terminals (ECMA-48: CSI, OSC and the two-character ones). */
const ESCAPE = String.fromCharCode(0x1b)
const BELL = String.fromCharCode(0x07)
const ESCAPE_SEQUENCES = new RegExp(
  `${ESCAPE}(?:\\[[0-?]*[ -/]*[@-~]|\\][^${BELL}${ESCAPE}]*(?:${BELL}|${ESCAPE}\\\\)?|[ -/]*[0-~])`,
  'g',
)
/** C0 and C1 controls, tab excepted. */
const CONTROLS = /[^\P{Cc}\t]/gu

/** Makes any output fit for a log: no terminal sequences or control characters, and of a line that was drawn over and over the last state. */
export function cleanLine(text: string): string {
  const withoutReturn = text.replace(/[\r\n]+$/, '')
  const lastState = withoutReturn.slice(withoutReturn.lastIndexOf('\r') + 1)
  return lastState.replace(ESCAPE_SEQUENCES, '').replace(CONTROLS, '')
}

/** Puts lines together from pieces of output. */
export interface LineAssembler {
  /** The lines that became complete with these bytes, cleaned and bounded. */
  push(bytes: Buffer): string[]
  /** What is left without a newline, if anything. */
  flush(): string[]
}

export function createLineAssembler(): LineAssembler {
  let pending = Buffer.alloc(0)

  const flush = (): string[] => {
    if (pending.length === 0) return []
    const line = cleanLine(pending.toString('utf8'))
    pending = Buffer.alloc(0)
    return [line]
  }

  return {
    push: (bytes) => {
      const lines: string[] = []
      let rest = pending.length === 0 ? bytes : Buffer.concat([pending, bytes])
      for (;;) {
        const newline = rest.indexOf(NEWLINE)
        const end = newline === -1 ? rest.length : newline
        if (end > MAX_BUILD_LINE_BYTES) {
          lines.push(cleanLine(rest.toString('utf8', 0, MAX_BUILD_LINE_BYTES)))
          rest = rest.subarray(MAX_BUILD_LINE_BYTES)
        } else if (newline === -1) {
          break
        } else {
          lines.push(cleanLine(rest.toString('utf8', 0, newline)))
          rest = rest.subarray(newline + 1)
        }
      }
      // A copy: the piece that it is cut from may be large.
      pending = Buffer.from(rest)
      return lines
    },
    flush,
  }
}
