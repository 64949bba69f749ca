import { type ChildProcess, spawn } from 'node:child_process'
import { open, readFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { WorkerExit } from '../../ingress/contract/control-protocol.ts'
import type { WorkerSettings } from '../../ingress/worker/worker-settings.ts'
import { systemCodeOf } from '../../lib/errors.ts'
import { compileCacheOf } from './compile-cache.ts'
import { programOf, WORKER_FLAGS, WORKER_PROGRAM } from './worker-code.ts'

/** Threads that compile and collect share two arenas: what one gives back, another can use. */
const ALLOCATOR = { MALLOC_ARENA_MAX: '2' }
/** Not the whole path: a worker of an earlier release runs from another place. */
const WORKER_FILE = `/${basename(WORKER_PROGRAM)}`

/** A worker process that was started here; it outlives the one that started it. */
export interface StartedWorker {
  pid: number
  /** How it ended; undefined while it runs. */
  ended(): Ending | Promise<Ending>
}

type Ending = { code: number | null; signal: NodeJS.Signals | null } | undefined

/** How a worker with these settings is started, by whomever. */
export function workerCommand(settings: WorkerSettings): { command: string[]; env: Record<string, string> } {
  return {
    command: [process.execPath, ...WORKER_FLAGS, WORKER_PROGRAM, JSON.stringify(settings)],
    env: {
      ...ALLOCATOR,
      NODE_COMPILE_CACHE: compileCacheOf(settings.directory, programOf(settings.fingerprint)),
    },
  }
}

/**
 * Starts a worker in a session of its own, with an empty environment and no pipe to this process, so that nothing that happens to
 * the control plane reaches it. What Node prints when it dies goes to the workers' log.
 */
export async function startWorker(settings: WorkerSettings, onExit: () => void): Promise<StartedWorker> {
  const log = await open(join(settings.directory, 'workers.log'), 'a', 0o600)
  try {
    const { command, env } = workerCommand(settings)
    const [program = '', ...args] = command
    const child = spawn(program, args, {
      detached: true,
      cwd: '/',
      env,
      stdio: ['ignore', log.fd, log.fd],
    })
    return await begun(child, onExit)
  } finally {
    await log.close()
  }
}

async function begun(child: ChildProcess, onExit: () => void): Promise<StartedWorker> {
  await new Promise<void>((resolve, reject) => {
    child.once('spawn', resolve)
    child.once('error', reject)
  })
  const { pid } = child
  if (pid === undefined) throw new Error('The ingress worker has no pid.')
  child.unref()
  child.once('exit', onExit)
  return {
    pid,
    ended: () =>
      child.exitCode === null && child.signalCode === null
        ? undefined
        : { code: child.exitCode, signal: child.signalCode },
  }
}

/** Why a worker that ended with `code` could not start, for the operator. */
export function startFailure(
  { bind_address, port, https_port }: Pick<WorkerSettings, 'bind_address' | 'port' | 'https_port'>,
  code: number | null,
): Error {
  if (code === WorkerExit.portInUse) return portInUse(bind_address, port, 'BERTH_HTTP_PORT')
  if (code === WorkerExit.portForbidden) return portForbidden(bind_address, port, 'BERTH_HTTP_PORT')
  if (code === WorkerExit.tlsPortInUse) return portInUse(bind_address, https_port, 'BERTH_HTTPS_PORT')
  if (code === WorkerExit.tlsPortForbidden) return portForbidden(bind_address, https_port, 'BERTH_HTTPS_PORT')
  return new Error(
    `The ingress worker ended with status ${code ?? 'unknown'}; see workers.log in its directory.`,
  )
}

export function portInUse(address: string, port: number, setting: string): Error {
  return new Error(
    `Port ${port} on ${address} is in use by another program. Stop it, or set ${setting} to a free port.`,
  )
}

export function portForbidden(address: string, port: number, setting: string): Error {
  return new Error(
    `Port ${port} on ${address} may not be used by this user. Run as root, or set ${setting} above 1023.`,
  )
}

/** True while `pid` is a worker of this directory, and not a process that got the same number later. */
export async function isOurWorker(pid: number, directory: string): Promise<boolean> {
  return isWorkerOf(directory, (await commandOf(pid)) ?? [])
}

/** True once the worker that `pid` was is gone. Right after its start, while the kernel replaces one program by another, a process has no command line. */
export async function hasEnded(pid: number, directory: string): Promise<boolean> {
  const words = await commandOf(pid)
  return words === undefined || (words.some((word) => word !== '') && !isWorkerOf(directory, words))
}

function isWorkerOf(directory: string, words: readonly string[]): boolean {
  const program = words.findIndex((word) => word.endsWith(WORKER_FILE))
  return program !== -1 && words[program + 1]?.includes(JSON.stringify(directory)) === true
}

/** The words of a process's command line; undefined when there is no such process. */
async function commandOf(pid: number): Promise<string[] | undefined> {
  try {
    return (await readFile(`/proc/${pid}/cmdline`, 'utf8')).split('\0')
  } catch (error) {
    if (systemCodeOf(error) === 'ENOENT' || systemCodeOf(error) === 'ESRCH') return undefined
    throw error
  }
}

/** Ends a worker at once, if it is one. */
export async function killWorker(pid: number, directory: string): Promise<void> {
  if (!(await isOurWorker(pid, directory))) return
  try {
    process.kill(pid, 'SIGKILL')
  } catch (error) {
    if (systemCodeOf(error) !== 'ESRCH') throw error
  }
}
