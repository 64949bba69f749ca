import type { System } from '../lib/system.ts'
import type { Client } from './client.ts'
import type { ContextFile } from './context-file.ts'
import type { Environment } from './environment.ts'
import type { Output } from './output.ts'
import type { Terminal } from './terminal.ts'

/** One `--option` of a verb. */
export interface Option {
  type: 'boolean' | 'string'
  short?: string
  /** May be given more than once. */
  multiple?: boolean
  /** What stands for the value in the help: `NAME`. */
  value?: string
  about: string
}

export type Options = Readonly<Record<string, Option>>

type FlagValue<O extends Option> = O['type'] extends 'boolean'
  ? boolean
  : O['multiple'] extends true
    ? readonly string[]
    : string | undefined

/** What was given for each option: false, undefined or an empty list when it was left out. */
export type Flags<O extends Options> = { readonly [Name in keyof O]: FlagValue<O[Name]> }

/** Everything that a verb reaches the outside through. */
export interface Surroundings {
  readonly environment: Environment
  readonly system: System
  readonly output: Output
  readonly terminal: Terminal
  readonly contexts: ContextFile
  /** The directory that the command runs in. */
  readonly directory: string
  /** Aborts when the user interrupts the command, with an Interrupted as its reason. */
  readonly signal: AbortSignal
  /** The login that `--context`, BERTH_CONTEXT or the saved choice names. */
  readonly contextName: string | undefined
  /** The server that the user is signed in to. Throws a CliError when there is none. */
  connect(): Promise<Client>
}

/** One run of a verb. */
export interface Call<O extends Options = Options> extends Surroundings {
  readonly flags: Flags<O>
  readonly operands: readonly string[]
}

export interface Verb<O extends Options = Options> {
  /** Without `berth`: `deploy [DIR]`. */
  usage: string
  about: string
  options: O
  /** How many operands it takes: least and most. */
  operands: readonly [least: number, most: number]
  /** Whole command lines. */
  examples: readonly string[]
  run(call: Call<O>): Promise<void>
}

/** A verb whose options have been forgotten, so that verbs can stand in one table. */
export type AnyVerb = Verb

/** Checks a verb against its options. */
export function defineVerb<const O extends Options>({ run, ...verb }: Verb<O>): AnyVerb {
  // The command line parser fills in flags of just the types that the options declare.
  return { ...verb, run: (call) => run(call as Call<O>) }
}

/** A word that stands for several verbs: `services ls`. */
export interface VerbGroup {
  about: string
  verbs: Readonly<Record<string, AnyVerb>>
  /** The verb that is meant when none is named. */
  usual?: string
}

export function isGroup(found: AnyVerb | VerbGroup): found is VerbGroup {
  return 'verbs' in found
}
