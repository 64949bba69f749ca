import { spawn } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import type { Server } from 'node:net'
import type { Proxy } from './proxy.ts'

/** Where a worker finds the listening sockets that it was given. */
export const INHERITED = { http: 3, https: 4 } as const

/**
 * Starts the next worker with this one's listening sockets and gives its pid. Both accept connections from then on; when this one
 * closes its side, none that waits is lost, whatever the kernel does with the queue of a socket that is closed for good.
 */
export function handOver(
  { listeners }: Proxy,
  [program = '', ...args]: readonly string[],
  env: Record<string, string>,
  logFile: string,
): number {
  const log = openSync(logFile, 'a', 0o600)
  try {
    const child = spawn(program, args, {
      detached: true,
      cwd: '/',
      env,
      stdio: ['ignore', log, log, descriptorOf(listeners.http), descriptorOf(listeners.https)],
    })
    child.on('error', () => {})
    child.unref()
    if (child.pid === undefined) throw new Error(`${program} could not be started.`)
    return child.pid
  } finally {
    closeSync(log)
  }
}

/** Node names no descriptor of a server. `_handle` is what `listen` takes from one (documented there), and it has one on Linux. */
function descriptorOf(server: Server): number {
  const { _handle } = server as { _handle?: { fd?: number } | null }
  const descriptor = _handle?.fd
  if (descriptor === undefined || descriptor < 0) throw new Error('The listening socket has no descriptor.')
  return descriptor
}
