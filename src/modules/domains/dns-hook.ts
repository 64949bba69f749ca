import { execFile } from 'node:child_process'

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

const OUTPUT_BYTES = 64 * 1024
const TIMEOUT_MS = 60_000
const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

/**
 * The command that the operator configured, without a shell and with nothing of our environment: DNS credentials are the hook's own
 * matter, and ours are none of its. Undefined when there is none.
 */
export function createDnsHook(argv: readonly string[]): DnsHook | undefined {
  const [program, ...fixed] = argv
  if (program === undefined) return undefined
  return {
    run: async (action, { name, value, service }, signal) => {
      const { promise, resolve, reject } = Promise.withResolvers<void>()
      execFile(
        program,
        [...fixed, action, name, value],
        {
          env: { PATH, SERVICE: service },
          timeout: TIMEOUT_MS,
          killSignal: 'SIGKILL',
          maxBuffer: OUTPUT_BYTES,
          signal,
          windowsHide: true,
        },
        (error, _stdout, stderr) => {
          if (error === null) resolve()
          else
            reject(
              new Error(`The DNS hook failed at ${action} ${name}: ${lastLine(stderr) ?? error.message}`),
            )
        },
      )
      await promise
    },
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
