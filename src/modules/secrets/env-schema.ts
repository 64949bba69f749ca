import { Type } from 'typebox'
import { AppError, type ErrorDetail } from '../../lib/errors.ts'

/** What stands for a value that the caller may not read. */
export const REDACTED = '***redacted***'

export const ENV_NAME_PATTERN = '^[A-Za-z_][A-Za-z0-9_]*$'
export const MAX_ENV_NAMES = 500
export const MAX_ENV_NAME_LENGTH = 255
export const MAX_ENV_VALUE_BYTES = 64 * 1024
/** Names and values together. The kernel gives a new process about 2 MiB for its arguments and environment. */
export const MAX_ENV_BYTES = 512 * 1024

/** Environment variables by name. */
export type Env = Readonly<Record<string, string>>

/**
 * Env as it is sent. The shape is loose on purpose: `readEnv` checks it, because it names the one variable that is wrong where a
 * schema with two forms would blame both.
 */
export type EnvInput = Record<string, unknown> | unknown[]
export const EnvInput = Type.Unsafe<Record<string, unknown> | unknown[]>({
  anyOf: [
    { type: 'object', description: 'Values (text) by name.' },
    { type: 'array', description: 'Pairs of name and value.' },
  ],
  description: `Environment variables. Names are letters, digits and underscores; at most ${MAX_ENV_NAMES}, values of at most 64 KiB, 512 KiB in all.`,
  examples: [{ GREETING: 'hello' }],
})

export type EnvView = Env
export const EnvView = Type.Unsafe<Env>({
  type: 'object',
  additionalProperties: { type: 'string' },
  examples: [{ GREETING: 'hello' }],
  description: `Values by name. Without the permission env.read every value reads ${REDACTED}.`,
})

/**
 * Checks and normalises sent variables. Throws VALIDATION_ERROR, or REDACTED_VALUE when what was redacted is sent back; both name
 * the variables at fault and never their values.
 */
export function readEnv(input: Record<string, unknown> | unknown[], field: string): Env {
  const pairs = Array.isArray(input) ? readPairs(input, field) : Object.entries(input)
  if (pairs.length > MAX_ENV_NAMES)
    throw invalid([{ field, message: `must have at most ${MAX_ENV_NAMES} names` }])
  const problems: ErrorDetail[] = []
  const seen = new Map<string, string>()
  for (const [name, value] of pairs) {
    const problem = problemOf(name, value) ?? (seen.has(name) ? 'is given twice' : undefined)
    if (problem !== undefined)
      problems.push({ field: `${field}.${name.slice(0, MAX_ENV_NAME_LENGTH)}`, message: problem })
    else seen.set(name, value as string)
  }
  if (problems.length > 0) throw invalid(problems)
  refuseRedacted(seen, field)
  const env = Object.fromEntries(seen)
  refuseTooLarge(env, field)
  return env
}

/** Throws VALIDATION_ERROR when all variables together are more than a process could be given. */
export function refuseTooLarge(env: Env, field: string): void {
  const names = Object.keys(env)
  const total = names.reduce((sum, name) => sum + name.length + Buffer.byteLength(env[name] ?? ''), 0)
  if (names.length > MAX_ENV_NAMES)
    throw invalid([{ field, message: `must have at most ${MAX_ENV_NAMES} names` }])
  if (total > MAX_ENV_BYTES)
    throw invalid([{ field, message: `must have at most ${MAX_ENV_BYTES} bytes in all` }])
}

/** The variables as a caller without env.read sees them. */
export function redactEnv(names: readonly string[]): Env {
  return Object.fromEntries(names.map((name) => [name, REDACTED]))
}

function readPairs(input: unknown[], field: string): [string, unknown][] {
  return input.map((pair, index) => {
    if (!Array.isArray(pair) || pair.length !== 2 || typeof pair[0] !== 'string') {
      throw invalid([{ field: `${field}.${index}`, message: 'must be a pair of name and value' }])
    }
    return [pair[0], pair[1]]
  })
}

const NAME = new RegExp(ENV_NAME_PATTERN)

function problemOf(name: string, value: unknown): string | undefined {
  if (!NAME.test(name) || name.length > MAX_ENV_NAME_LENGTH) {
    return `must be a name of letters, digits and underscores, not beginning with a digit, at most ${MAX_ENV_NAME_LENGTH} characters`
  }
  // An assignment to this name changes an object's prototype instead of setting a value.
  if (name === '__proto__') return 'is a name that cannot be used'
  if (typeof value !== 'string') return 'must be text'
  if (value.includes('\0')) return 'must not hold a NUL character'
  if (!value.isWellFormed()) return 'must be well-formed Unicode'
  if (Buffer.byteLength(value) > MAX_ENV_VALUE_BYTES) return `must have at most ${MAX_ENV_VALUE_BYTES} bytes`
  return undefined
}

function refuseRedacted(values: ReadonlyMap<string, string>, field: string): void {
  const redacted = [...values].filter(([, value]) => value.includes(REDACTED))
  if (redacted.length === 0) return
  throw new AppError('REDACTED_VALUE', {
    details: redacted.map(([name]) => ({
      field: `${field}.${name}`,
      message: 'is redacted: send the real value',
    })),
  })
}

function invalid(details: ErrorDetail[]): AppError {
  return new AppError('VALIDATION_ERROR', { details })
}
