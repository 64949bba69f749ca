import { createSystem } from '../lib/system.ts'
import {
  type Arguments,
  COMMON_OPTIONS,
  type CommonFlags,
  readArguments,
  readCommonFlags,
} from './arguments.ts'
import { EXIT, type ExitCode, UsageError } from './cli-error.ts'
import { createClient } from './client.ts'
import { findConnection, notSignedIn } from './connection.ts'
import { createContextFile } from './context-file.ts'
import { type Environment, readEnvironment } from './environment.ts'
import { reportError } from './error-report.ts'
import { watchInterrupts } from './interrupt.ts'
import { createOutput, type Output } from './output.ts'
import { suggest } from './suggestion.ts'
import { createTerminal } from './terminal.ts'
import { columns, groupHelp, verbHelp } from './usage.ts'
import { type AnyVerb, type Flags, isGroup, type Options, type Surroundings } from './verb.ts'
import { VERBS } from './verb-table.ts'
import { VERSION } from './version.ts'

/** Runs one command and sets the exit status of the process. */
export async function runCli(args: readonly string[]): Promise<void> {
  process.stdout.on('error', endOnBrokenPipe)
  process.stderr.on('error', endOnBrokenPipe)
  const environment = readEnvironment()
  const interrupted = watchInterrupts()
  let output = openOutput(environment, readCommonFlags(args))
  try {
    const command = await findCommand(args)
    if ('help' in command) {
      output.text(command.help)
      process.exitCode = command.exit
      return
    }
    output = openOutput(environment, command.arguments.common)
    await runVerb(command, environment, output, interrupted)
    // A verb that let an interrupt pass was not finished.
    interrupted.throwIfAborted()
  } catch (error) {
    process.exitCode = reportError(error, output, process.stderr)
  }
}

/** `berth logs | head`: nobody reads any more, which is no failure to talk about. */
function endOnBrokenPipe(error: NodeJS.ErrnoException): void {
  if (error.code === 'EPIPE') process.exit(EXIT.broken_pipe)
  if (error.code !== 'EIO') process.stderr.write(`berth: cannot write: ${error.message}\n`)
  process.exit(EXIT.failed)
}

function openOutput({ noColour }: Environment, { json, quiet }: CommonFlags): Output {
  return createOutput({ stdout: process.stdout, stderr: process.stderr, json, quiet, noColour })
}

interface Command {
  verb: AnyVerb
  arguments: Arguments
}

interface HelpText {
  help: string
  exit: ExitCode
}

async function findCommand(args: readonly string[]): Promise<Command | HelpText> {
  const { leading, name, rest } = splitAtVerb(args)
  if (name === 'help') return findCommand([...rest, '--help'])
  if (name === undefined) return withoutVerb(leading)
  const entry = Object.hasOwn(VERBS, name) ? VERBS[name] : undefined
  if (!entry) throw unknownCommand(name, Object.keys(VERBS))
  const found = await entry.load()
  if (!isGroup(found)) return withArguments(name, found, [...leading, ...rest])
  const inner = splitAtVerb(rest)
  const isKnown = inner.name !== undefined && Object.hasOwn(found.verbs, inner.name)
  const wantsHelp = [...leading, ...rest].some((each) => each === '--help' || each === '-h')
  if (wantsHelp && !isKnown) return { help: groupHelp(name, found), exit: EXIT.ok }
  if (inner.name !== undefined && !isKnown) throw unknownCommand(inner.name, Object.keys(found.verbs), name)
  const verbName = inner.name ?? found.usual
  const verb = verbName === undefined ? undefined : found.verbs[verbName]
  if (!verb) return { help: groupHelp(name, found), exit: EXIT.usage }
  return withArguments(`${name} ${verbName}`, verb, [...leading, ...inner.leading, ...inner.rest])
}

const TAKES_VALUE = new Set(['--output', `-${COMMON_OPTIONS.output.short}`, '--context'])

/** Options may stand before the verb too: `berth -o json ps`. */
function splitAtVerb(args: readonly string[]): {
  leading: string[]
  name: string | undefined
  rest: string[]
} {
  let at = 0
  while (args[at]?.startsWith('-')) at += TAKES_VALUE.has(args[at] ?? '') ? 2 : 1
  return { leading: args.slice(0, at), name: args[at], rest: args.slice(at + 1) }
}

function withoutVerb(leading: readonly string[]): HelpText {
  const unknown = leading.find((each) => !['--help', '-h', '--version'].includes(each))
  if (unknown !== undefined)
    throw new UsageError(`a command is missing before ${unknown}`, ['See berth --help.'])
  if (leading.includes('--version')) return { help: `berth ${VERSION}`, exit: EXIT.ok }
  return { help: overview(), exit: leading.length > 0 ? EXIT.ok : EXIT.usage }
}

function withArguments(name: string, verb: AnyVerb, args: readonly string[]): Command | HelpText {
  const read = readArguments(name, verb, args)
  return read.common.help ? { help: verbHelp(verb), exit: EXIT.ok } : { verb, arguments: read }
}

function unknownCommand(name: string, known: readonly string[], group?: string): UsageError {
  const prefix = group === undefined ? 'berth' : `berth ${group}`
  const near = suggest(name, known)
  return new UsageError(
    `unknown command ${group === undefined ? '' : `${group} `}${name}${near === undefined ? '' : `; did you mean ${prefix} ${near}?`}`,
    [`See ${prefix} --help.`],
  )
}

function overview(): string {
  const rows = Object.entries(VERBS).map(([name, { about }]) => [name, about] as const)
  return [
    'Usage: berth COMMAND [OPTION...]',
    '',
    'Deploys folders to a Berth server and looks after what runs there.',
    '',
    'Commands:',
    ...columns(rows),
    '',
    'berth COMMAND --help tells more about each.',
    'First steps: berth login URL, then berth deploy in the folder of an application.',
  ].join('\n')
}

async function runVerb(
  command: Command,
  environment: Environment,
  output: Output,
  signal: AbortSignal,
): Promise<void> {
  const system = createSystem()
  const { common, flags, operands } = command.arguments
  const contexts = createContextFile(environment.configFile, (text) => output.warn(text))
  const { stdin, stderr } = process
  const surroundings: Surroundings = {
    environment,
    system,
    output,
    terminal: createTerminal({ stdin, stderr, unattended: environment.unattended, signal }),
    contexts,
    directory: environment.directory,
    signal,
    contextName: common.context,
    connect: async () => {
      const { origin, token } = findConnection(environment, await contexts.read(), common.context)
      if (token === undefined) throw notSignedIn(origin)
      return createClient({ origin, token, system, version: VERSION, signal })
    },
  }
  await command.verb.run({ ...surroundings, flags: flags as Flags<Options>, operands })
}
