import { parseEnv } from 'node:util'
import { CliError, UsageError } from './cli-error.ts'

const NAME = /^[A-Za-z_][A-Za-z0-9_]*$/

/** Reads a .env file as Node.js does (`util.parseEnv`). Throws a UsageError that names what is wrong, never a value. */
export function readEnvFile(text: string, where: string): Record<string, string> {
  // A line that is neither assignment nor remark would be passed over in silence.
  const env = parseEnv(text)
  const names = Object.keys(env)
  const wrong = names.find((name) => !NAME.test(name))
  if (wrong !== undefined)
    throw new UsageError(`${where}: a name has other characters than A-Z, a-z, 0-9 and _`)
  if (names.length === 0 && text.trim() !== '') throw new UsageError(`${where} holds no variable`)
  return env as Record<string, string>
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
