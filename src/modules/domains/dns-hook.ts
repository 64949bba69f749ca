import { type ChildProcess, spawn } from 'node:child_process'
import { messageOf, systemCodeOf } from '../../lib/errors.ts'
import type { System } from '../../lib/system.ts'

export type HookAction = 'present' | 'cleanup'

export interface HookRecord {
  name: string
  value: string
  /** For whom, as `project/service`: the hook may refuse. */
  service: string
}

/** Sets and removes TXT records in zones that the operator controls. */
export interface DnsHook {
  /**
   * Runs `<argv> <action> <name> <value>` with the service that asks (`project/service`) in the variable SERVICE; rejects with a
   * sentence when it fails or takes too long.
   */
  run(action: HookAction, record: HookRecord, signal: AbortSignal): Promise<void>
}

/** Of what it prints to standard error: its last line says why it failed. */
const KEPT_CHARACTERS = 4096
const TIMEOUT_MS = 60_000
/** For what it has printed to arrive after it has ended; what it left running may hold the pipe for good. */
const GRACE_MS = 1000
const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

/**
 * The command that the operator configured, without a shell and with nothing of our environment: DNS credentials are the hook's own
 * matter, and ours are none of its. Undefined when there is none.
 */
export function createDnsHook(argv: readonly string[], system: System): DnsHook | undefined {
  const [program, ...fixed] = argv
  if (program === undefined) return undefined
  return {
    run: async (action, { name, value, service }, signal) => {
      signal.throwIfAborted()
      const env = { PATH, SERVICE: service }
      const child = spawn(program, [...fixed, action, name, value], {
        env,
        detached: true,
        stdio: ['ignore', 'ignore', 'pipe'],
      })
      const late = AbortSignal.timeout(TIMEOUT_MS)
      const why = await endOf(child, AbortSignal.any([signal, late]), system)
      signal.throwIfAborted()
      if (why === undefined) return
      const said = late.aborted ? `it did not end in ${TIMEOUT_MS / 1000} s` : why
      throw new Error(`The DNS hook failed at ${action} ${name}: ${said}`)
    },
  }
}

/** Waits for the program itself, whatever it leaves running; answers why it failed. Aborted, it is killed with all that it started. */
async function endOf(child: ChildProcess, ending: AbortSignal, system: System): Promise<string | undefined> {
  const { promise, resolve } = Promise.withResolvers<string | undefined>()
  const { stderr } = child
  let printed = ''
  stderr?.setEncoding('utf8').on('data', (text: string) => {
    printed = (printed + text).slice(-KEPT_CHARACTERS)
  })
  const kill = (): void => killGroup(child)
  ending.addEventListener('abort', kill, { once: true })
  child.once('error', (error) => resolve(messageOf(error)))
  child.once('exit', () => system.later(GRACE_MS, () => stderr?.destroy()))
  child.once('close', (code, name) =>
    resolve(code === 0 ? undefined : (lastLine(printed) ?? `it ended with ${name ?? `status ${code}`}`)),
  )
  return await promise.finally(() => ending.removeEventListener('abort', kill))
}

function killGroup({ pid }: ChildProcess): void {
  if (pid === undefined) return
  try {
    process.kill(-pid, 'SIGKILL')
  } catch (error) {
    if (systemCodeOf(error) !== 'ESRCH') throw error
  }
}

function lastLine(text: string): string | undefined {
  return text
    .replaceAll(/[^\x20-\x7e\n]/g, '?')
    .split('\n')
    .map((line) => line.trim())
    .findLast((line) => line !== '')
    ?.slice(0, 300)
}
