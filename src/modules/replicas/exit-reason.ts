import type { ContainerInfo } from '../../runtime/runtime.ts'

const SIGNAL_NAMES: Readonly<Record<number, string>> = {
  1: 'SIGHUP',
  2: 'SIGINT',
  6: 'SIGABRT',
  9: 'SIGKILL',
  11: 'SIGSEGV',
  15: 'SIGTERM',
}
const KILLED = 137

/** Says in words why a container is not running. */
export function exitReason(container: Pick<ContainerInfo, 'exit_code' | 'oom_killed' | 'error'>): string {
  if (container.error !== null && container.error !== '') return `could not start: ${container.error}`
  const code = container.exit_code
  if (code === null) return 'stopped'
  if (code === KILLED) {
    // The flag is also set when only a child was killed, so it counts only together with the exit code; some engines never set it.
    return container.oom_killed
      ? 'was killed for using more memory than its limit (exit code 137)'
      : 'was killed (exit code 137, SIGKILL), most likely for using more memory than its limit'
  }
  const signal = code > 128 ? SIGNAL_NAMES[code - 128] : undefined
  return signal === undefined ? `exited with code ${code}` : `exited with code ${code} (${signal})`
}
