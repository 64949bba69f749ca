import type { ContainerInfo } from '../../runtime/runtime.ts'

const SIGNAL_NAMES: Readonly<Record<number, string>> = {
  1: 'SIGHUP',
  2: 'SIGINT',
  6: 'SIGABRT',
  9: 'SIGKILL',
  11: 'SIGSEGV',
  15: 'SIGTERM',
}

/** Says in words why a container is not running. */
export function exitReason(container: Pick<ContainerInfo, 'exit_code' | 'oom_killed' | 'error'>): string {
  if (container.error !== null && container.error !== '') return `could not start: ${container.error}`
  const code = container.exit_code
  if (code === null) return 'stopped'
  // The engine's flag is also true when only a child was killed; the exit code tells whether it was the application itself.
  if (container.oom_killed && code === 137)
    return 'was killed for using more memory than its limit (exit code 137)'
  const signal = code > 128 ? SIGNAL_NAMES[code - 128] : undefined
  if (signal !== undefined) return `exited with code ${code} (${signal})`
  return `exited with code ${code}`
}
