/**
 * Where the keys of a TOML document stand: smol-toml gives values without places, and a message about a key is only half a message without
 * its line. The document must have been parsed before: what is not valid TOML is not noticed here.
 */
export class TomlLines {
  readonly #lines = new Map<string, number>()

  constructor(text: string) {
    let table: string[] = []
    const scanner = new ValueScanner()
    for (const [index, line] of text.split('\n').entries()) {
      if (scanner.isInside()) {
        scanner.push(line)
        continue
      }
      const trimmed = line.trimStart()
      if (trimmed.startsWith('[')) {
        table = readKey(trimmed.replace(/^\[+/, ''))?.path ?? table
        this.#note(table, index + 1)
        continue
      }
      const key = readKey(trimmed)
      if (!key) continue
      this.#note([...table, ...key.path], index + 1)
      scanner.push(key.rest.replace(/^\s*=/, ''))
    }
  }

  /** The line of a key; of what holds it where it stands inside of an inline table; 1 when nothing is known. */
  of(path: readonly string[]): number {
    for (let length = path.length; length > 0; length -= 1) {
      const line = this.#lines.get(JSON.stringify(path.slice(0, length)))
      if (line !== undefined) return line
    }
    return 1
  }

  #note(path: readonly string[], line: number): void {
    for (let length = 1; length <= path.length; length += 1) {
      const name = JSON.stringify(path.slice(0, length))
      // A table is where it is named first; a dotted key names its tables too.
      if (!this.#lines.has(name) || length === path.length) this.#lines.set(name, line)
    }
  }
}

const SEGMENT = /^\s*(?:"((?:[^"\\]|\\.)*)"|'([^']*)'|([A-Za-z0-9_-]+))\s*/

/** A dotted key (TOML 1.0, "Keys") and what follows it; undefined when the text begins with none. */
function readKey(text: string): { path: string[]; rest: string } | undefined {
  const path: string[] = []
  let rest = text
  for (;;) {
    const match = SEGMENT.exec(rest)
    if (!match) return undefined
    path.push(match[1] === undefined ? (match[2] ?? match[3] ?? '') : unescapeKey(match[1]))
    rest = rest.slice(match[0].length)
    if (!rest.startsWith('.')) return { path, rest }
    rest = rest.slice(1)
  }
}

function unescapeKey(text: string): string {
  try {
    return String(JSON.parse(`"${text}"`))
  } catch {
    // An escape that JSON does not know: the key is then found by its table.
    return text
  }
}

/** Follows a value over its lines: arrays and multi-line strings may hold what looks like keys. */
class ValueScanner {
  #depth = 0
  /** The quotes that end the multi-line string that we are in. */
  #quotes: '"""' | "'''" | undefined

  isInside(): boolean {
    return this.#depth > 0 || this.#quotes !== undefined
  }

  push(line: string): void {
    let rest = line
    while (rest !== '') {
      if (this.#quotes !== undefined) {
        const end = this.#quotes === '"""' ? /^(?:[^"\\]|\\.?|"(?!""))*"""/.exec(rest) : /^.*?'''/.exec(rest)
        if (!end) return
        this.#quotes = undefined
        rest = rest.slice(end[0].length)
        continue
      }
      const token = /^(?:"""|'''|"(?:[^"\\]|\\.)*"|'[^']*'|#.*|.)/s.exec(rest)?.[0] ?? rest
      rest = rest.slice(token.length)
      if (token === '"""' || token === "'''") this.#quotes = token
      else if (token === '[' || token === '{') this.#depth += 1
      else if (token === ']' || token === '}') this.#depth -= 1
    }
  }
}
