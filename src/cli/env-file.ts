import { CliError, UsageError } from './cli-error.ts'

const NAME = /^[A-Za-z_][A-Za-z0-9_]*$/

/**
 * Reads a .env file: `NAME=VALUE`, perhaps with `export` before it. A value in single or double quotes or backticks may go over several
 * lines, `\n` in double quotes is a line end; without quotes a `#` begins a remark. That is how Node.js and the dotenv packages read it, but
 * they pass over what they do not understand. Throws a UsageError with the numbers of those lines; never with a value. `onCut` is told the
 * names of variables of whose value a `#` in the middle of a word took the rest.
 */
export function readEnvFile(
  file: string,
  where: string,
  onCut: (names: string[]) => void = () => {},
): Record<string, string> {
  const text = file.replace(/^\uFEFF/, '').replaceAll('\r', '')
  const { values, strange, cut } = readLines(text.split('\n'))
  if (strange.length > 0) {
    const lines = `${strange.length === 1 ? 'line' : 'lines'} ${strange.slice(0, 10).join(', ')}`
    throw new UsageError(
      `${where}: ${lines}${strange.length > 10 ? ' and more' : ''}: neither NAME=VALUE nor a # remark; a name has letters, digits and underscores`,
    )
  }
  if (values.size === 0 && text.trim() !== '') throw new UsageError(`${where} holds no variable`)
  if (cut.size > 0) onCut([...cut])
  return Object.fromEntries(values)
}

const ASSIGNMENT = /^[ \t]*(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_]*)[ \t]*=[ \t]*(.*)$/
/** The first `#` stands in a word rather than behind a blank. */
const CUT = /^[^=#]*=([^#]*[^ \t#])?#/
const REMARK = /^[ \t]*(?:#.*)?$/

function readLines(lines: readonly string[]) {
  const values = new Map<string, string>()
  const cut = new Set<string>()
  const strange: number[] = []
  for (let at = 0; at < lines.length; at += 1) {
    const line = lines[at] ?? ''
    const [, name, begin = ''] = ASSIGNMENT.exec(line) ?? []
    if (name === undefined) {
      if (!REMARK.test(line)) strange.push(at + 1)
      continue
    }
    const quoted = readQuoted(begin, lines, at)
    values.set(name, quoted?.value ?? (isQuote(begin[0]) ? begin.trim() : withoutRemark(begin)))
    // A later line for the same name counts alone.
    cut.delete(name)
    if (!quoted && !isQuote(begin[0]) && CUT.test(line)) cut.add(name)
    at = quoted?.end ?? at
    if (quoted && !REMARK.test(quoted.rest)) strange.push(at + 1)
  }
  return { values, strange, cut }
}

function isQuote(character: string | undefined): character is string {
  return character !== undefined && '"\'`'.includes(character)
}

function withoutRemark(text: string): string {
  return (text.split('#', 1)[0] ?? '').trim()
}

/**
 * What stands in the quotes that `begin`, the value on the line `at`, begins with, the line on which they end, and what follows there;
 * undefined when there is no quote or it is never closed, which makes it a character like others.
 */
function readQuoted(
  begin: string,
  lines: readonly string[],
  at: number,
): { value: string; end: number; rest: string } | undefined {
  const quote = begin[0]
  if (!isQuote(quote)) return undefined
  const first = begin.slice(1)
  const end = first.includes(quote) ? at : lines.findIndex((line, n) => n > at && line.includes(quote))
  if (end === -1) return undefined
  const last = end === at ? first : (lines[end] ?? '')
  const close = last.indexOf(quote)
  const before = end === at ? [] : [first, ...lines.slice(at + 1, end)]
  const value = [...before, last.slice(0, close)].join('\n')
  return { value: quote === '"' ? value.replaceAll('\\n', '\n') : value, end, rest: last.slice(close + 1) }
}

/** Writes variables so that `readEnvFile`, and most programs that read .env files, get the same values. Throws a CliError for what has no such form. */
export function writeEnvFile(env: Readonly<Record<string, string>>): string {
  return Object.keys(env)
    .toSorted()
    .map((name) => `${name}=${quote(name, env[name] ?? '')}\n`)
    .join('')
}

const PLAIN = /^[\w./:@%+,=-]*$/

function quote(name: string, value: string): string {
  if (PLAIN.test(value)) return value
  // Single quotes and backticks leave everything as it is; double quotes make a line end of \n.
  const mark = ["'", '`', '"'].find(
    (each) => !value.includes(each) && (each !== '"' || !value.includes('\\')),
  )
  if (mark === undefined || value.includes('\r'))
    throw new CliError(`the value of ${name} cannot be written into a .env file: use --output json`)
  return `${mark}${value}${mark}`
}

/** `NAME=VALUE`, or `NAME` alone. Throws a UsageError that does not repeat the value. */
export function readAssignment(text: string): { name: string; value: string | undefined } {
  const at = text.indexOf('=')
  const name = at === -1 ? text : text.slice(0, at)
  if (!NAME.test(name)) {
    const shown = at === -1 ? text : `${name}=...`
    throw new UsageError(
      `${shown} is neither NAME=VALUE nor NAME: a name has letters, digits and underscores`,
    )
  }
  return { name, value: at === -1 ? undefined : text.slice(at + 1) }
}
