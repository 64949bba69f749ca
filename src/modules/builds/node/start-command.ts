import type { PackageFacts } from './package-facts.ts'

/** How an application is started. */
export interface StartCommand {
  command: string[]
  needs_shell: boolean
  /** False when SIGTERM may end at the shell instead of the application. */
  gets_signals: boolean
}

/** Words without any meaning to a shell, separated by spaces. */
const PLAIN_WORDS = /^[\w@%+=:,./-]+(?: +[\w@%+=:,./-]+)*$/
/** One command, maybe with quotes and variables, and nothing that begins another one. */
const ONE_COMMAND = /^[^;&|()<>`\n#]+$/
/** What only a shell can carry out, and `exec` cannot. */
const SHELL_WORD =
  /^(?:if|while|until|for|case|cd|export|set|unset|source|exec|eval|trap|wait|ulimit|umask|\.|!|\{)(?:\s|$)/
const MAX_INDIRECTIONS = 5

/**
 * What starts the application: the start script, else `node` with the entry file; undefined when there is neither.
 *
 * npm between the container and the application would cost memory and swallow SIGTERM (npm hands it to a shell that ignores its
 * child), so scripts are run as directly as their text allows.
 */
export function findStart(facts: Pick<PackageFacts, 'scripts' | 'entry'>): StartCommand | undefined {
  const script = resolveScript(facts.scripts, 'start')
  if (script !== undefined) return startScript(script)
  if (facts.entry === undefined) return undefined
  return { command: ['node', facts.entry], needs_shell: false, gets_signals: true }
}

/** The text of a script with its `pre` script, through scripts that only call another one; undefined when there is none. */
function resolveScript(scripts: Record<string, string>, name: string, depth = 0): string | undefined {
  const script = scripts[name]?.trim()
  if (script === undefined || script === '') return undefined
  const called = /^(?:npm|yarn|pnpm) run(?:-script)? ([\w:.-]+)$/.exec(script)?.[1]
  const own =
    called === undefined || depth >= MAX_INDIRECTIONS
      ? script
      : (resolveScript(scripts, called, depth + 1) ?? script)
  const before = scripts[`pre${name}`]?.trim()
  return before === undefined || before === '' ? own : `${before} && ${own}`
}

function startScript(script: string): StartCommand {
  const plain = script.split(/ +/)
  if (PLAIN_WORDS.test(script) && !SHELL_WORD.test(script) && !plain[0]?.includes('='))
    return { command: plain, needs_shell: false, gets_signals: true }
  // What asks for npm's own variables gets npm.
  if (/\$\{?npm_/.test(script)) return { command: ['npm', 'start'], needs_shell: true, gets_signals: false }
  const replaced = replaceShell(script)
  return {
    command: ['sh', '-c', replaced ?? script],
    needs_shell: true,
    gets_signals: replaced !== undefined,
  }
}

/** The script with its last command put in the place of the shell, where it is plain that this changes nothing else. */
function replaceShell(script: string): string | undefined {
  if (isOneCommand(script)) return `exec env ${script}`
  const parts = script.split('&&')
  const last = parts.pop()?.trim() ?? ''
  const before = parts.join('&&').trim()
  // A quote or parenthesis in front could reach over the `&&`; an `||` or `;` would bind differently.
  if (before === '' || /["'()`|;\\\n#]/.test(before) || !isOneCommand(last)) return undefined
  return `${before} && exec env ${last}`
}

function isOneCommand(text: string): boolean {
  return ONE_COMMAND.test(text) && !SHELL_WORD.test(text) && text !== ''
}
