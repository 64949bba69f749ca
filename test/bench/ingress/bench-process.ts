import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { connect, createServer } from 'node:net'
import { availableParallelism } from 'node:os'
import { promisify } from 'node:util'
import { createSystem } from '../../../src/lib/system.ts'

export const system = createSystem()
const runFile = promisify(execFile)
const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

/** A command that runs on one core only, where there are several. */
export function pinned(core: number, command: readonly string[]): string[] {
  return availableParallelism() > 1 ? ['taskset', '-c', String(core), ...command] : [...command]
}

/** Runs a command on the second core, that of clients and applications, and gives its output. */
export async function runClient(command: readonly string[]): Promise<string> {
  const [program = '', ...args] = pinned(1, command)
  const { stdout } = await runFile(program, args, { maxBuffer: 16 * 1024 * 1024 })
  return stdout
}

/** Puts a running process on the first core. */
export async function pinProxy(pid: number): Promise<void> {
  if (availableParallelism() > 1) await runFile('taskset', ['-a', '-cp', '0', String(pid)])
}

/** taskset replaces itself by the command, so that the pid is the command's. */
export function start(
  stack: AsyncDisposableStack,
  command: string[],
  env: Record<string, string> = {},
): ChildProcess {
  const [program = '', ...args] = command
  const child = spawn(program, args, { env: { PATH, ...env }, stdio: 'ignore' })
  stack.defer(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return
    child.kill('SIGKILL')
    await once(child, 'exit')
  })
  return child
}

export async function untilListening(port: number, child: ChildProcess): Promise<void> {
  for (let looks = 0; looks < 1500; looks += 1) {
    if (child.exitCode !== null) {
      throw new Error(
        `${child.spawnargs.join(' ')} ended. The comparison needs Debian's caddy, nginx-light, haproxy, wrk and nghttp2-client.`,
      )
    }
    if (await answers(port)) return
    await system.sleep(20)
  }
  throw new Error(`Nothing listens on port ${port}.`)
}

async function answers(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1')
  try {
    await once(socket, 'connect')
    return true
  } catch {
    return false
  } finally {
    socket.destroy()
  }
}

export async function freePort(): Promise<number> {
  const server = createServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  if (address === null || typeof address === 'string') throw new Error('No port was given.')
  return address.port
}

/** User and system time in milliseconds; the kernel counts in hundredths of a second. */
export async function cpuMsOf(pid: number): Promise<number> {
  const fields = (await readFile(`/proc/${pid}/stat`, 'utf8')).replace(/^.*\) /, '').split(' ')
  return (Number(fields[11]) + Number(fields[12])) * 10
}

export interface MemoryMib {
  /** Resident: with pages of program files, which processes share. */
  rss: number
  /** Of that what no file backs: the process's own. */
  own: number
}

export async function memoryOf(pid: number): Promise<MemoryMib> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8')
  const mib = (name: string): number =>
    Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(status)?.[1]) / 1024
  return { rss: mib('VmRSS'), own: mib('RssAnon') }
}
