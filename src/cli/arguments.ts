import { parseArgs } from 'node:util'
import { UsageError } from './cli-error.ts'
import { suggest } from './suggestion.ts'
import type { AnyVerb, Options } from './verb.ts'

/** Options of every verb. */
export const COMMON_OPTIONS = {
  output: {
    type: 'string',
    short: 'o',
    value: 'FORMAT',
    about: 'json: data as JSON on stdout, errors as JSON on stderr',
  },
  quiet: { type: 'boolean', short: 'q', about: 'No progress and no remarks on stderr' },
  context: { type: 'string', value: 'NAME', about: 'The saved login to use; see berth contexts' },
  help: { type: 'boolean', short: 'h', about: 'This text' },
} as const satisfies Options

export interface CommonFlags {
  json: boolean
  quiet: boolean
  context: string | undefined
  help: boolean
}

export interface Arguments {
  common: CommonFlags
  flags: Record<string, boolean | string | readonly string[] | undefined>
  operands: string[]
}

/** The common options alone, wherever they stand, as far as they can be understood: what a message about a bad command line needs. */
export function readCommonFlags(args: readonly string[]): CommonFlags {
  const { values } = parseArgs({ args: [...args], options: parserOptions(COMMON_OPTIONS), strict: false })
  return {
    json: values['output'] === 'json',
    quiet: values['quiet'] === true,
    context: undefined,
    help: values['help'] === true,
  }
}

/** Reads what follows the verb. Throws a UsageError that says what is wrong and what may have been meant. */
export function readArguments(name: string, verb: AnyVerb, args: readonly string[]): Arguments {
  const options: Options = { ...verb.options, ...COMMON_OPTIONS }
  const hints = [`See berth ${name} --help.`]
  const { tokens } = parseArgs({
    args: [...args],
    options: parserOptions(options),
    strict: false,
    tokens: true,
    allowPositionals: true,
  })
  const flags: Arguments['flags'] = {}
  for (const [option, { type, multiple }] of Object.entries(options)) {
    flags[option] = type === 'boolean' ? false : multiple ? [] : undefined
  }
  const operands: string[] = []
  for (const token of tokens) {
    if (token.kind === 'positional') operands.push(token.value)
    if (token.kind !== 'option') continue
    const option = Object.hasOwn(options, token.name) ? options[token.name] : undefined
    if (!option) throw unknownOption(token.rawName, options, [...serviceHint(verb, token.rawName), ...hints])
    flags[token.name] = readValue(token, option, flags[token.name], hints)
  }
  const common = readCommon(flags, hints)
  if (!common.help) checkOperands(verb, operands, hints)
  return { common, flags, operands }
}

type OptionToken = { rawName: string; value: string | undefined; inlineValue: boolean | undefined }

function readValue(
  { rawName, value, inlineValue }: OptionToken,
  option: Options[string],
  before: Arguments['flags'][string],
  hints: string[],
): boolean | string | readonly string[] {
  if (option.type === 'boolean') {
    if (value !== undefined) throw new UsageError(`${rawName} takes no value`, hints)
    return true
  }
  if (value === undefined)
    throw new UsageError(`${rawName} needs a value: ${rawName} ${option.value ?? 'VALUE'}`, hints)
  if (!inlineValue && /^-./.test(value)) {
    throw new UsageError(`${rawName} needs a value, and ${value} looks like an option`, [
      ...(rawName.startsWith('--') ? [`If it is the value, write ${rawName}=${value}.`] : []),
      ...hints,
    ])
  }
  if (option.multiple) return [...(Array.isArray(before) ? before : []), value]
  if (before !== undefined) throw new UsageError(`${rawName} is given twice`, hints)
  return value
}

function readCommon(flags: Arguments['flags'], hints: string[]): CommonFlags {
  const { output, context } = flags
  if (output !== undefined && output !== 'json' && output !== 'text') {
    throw new UsageError(`--output knows json and text, not ${String(output)}`, hints)
  }
  return {
    json: output === 'json',
    quiet: flags['quiet'] === true,
    context: typeof context === 'string' ? context : undefined,
    help: flags['help'] === true,
  }
}

function checkOperands(
  { usage, operands: [least, most], options }: AnyVerb,
  operands: string[],
  hints: string[],
): void {
  const extra = operands[most]
  if (extra !== undefined)
    throw new UsageError(`unexpected argument ${extra}: berth ${usage}`, [
      ...('service' in options ? [`If that is a service: use --service ${extra}`] : []),
      ...hints,
    ])
  if (operands.length < least) throw new UsageError(`something is missing: berth ${usage}`, hints)
}

function unknownOption(rawName: string, options: Options, hints: string[]): UsageError {
  const known = Object.keys(options).map((name) => `--${name}`)
  const near = rawName.startsWith('--') ? suggest(rawName, known) : undefined
  return new UsageError(
    `unknown option ${rawName}${near === undefined ? '' : `; did you mean ${near}?`}`,
    hints,
  )
}

/** Some verbs take their service as an argument, and others as an option. */
function serviceHint({ usage }: AnyVerb, rawName: string): string[] {
  const isMeant = (rawName === '-s' || rawName === '--service') && /\bSERVICE\b/.test(usage)
  return isMeant ? [`The service is an argument here: berth ${usage}`] : []
}

function parserOptions(
  options: Options,
): Record<string, { type: 'boolean' | 'string'; short?: string; multiple?: boolean }> {
  return Object.fromEntries(
    Object.entries(options).map(([name, { type, short }]) => [
      name,
      { type, multiple: true, ...(short ? { short } : {}) },
    ]),
  )
}
