import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Test } from 'tap'
import { waitFor } from './wait.ts'

const run = promisify(execFile)

export interface OwnEngine {
  socket: string
  /** A range for its project networks that no other engine of this machine uses. */
  pool: string
  stop(): Promise<void>
  start(): Promise<void>
}

/** So that tests beside each other, and beside the shared engine, have bridges and ranges of their own. */
const RANGE = 60 + (process.pid % 60)

/**
 * A Docker Engine of its own for one test, which may be stopped and started: its containers run on meanwhile (live-restore). All of it
 * goes with the test.
 */
export async function startOwnEngine(t: Test): Promise<OwnEngine> {
  // Not in the default folder for temporary files: the engine's sockets have to have short names.
  const folder = await mkdtemp('/var/tmp/bd-')
  // Of its own too: what the machine's engine is configured with would clash with the arguments below.
  const configFile = join(folder, 'daemon.json')
  await writeFile(configFile, '{}')
  const bridge = `bd${process.pid % 100_000}`
  const socket = join(folder, 'd.sock')
  const log: string[] = []
  let child: ChildProcess | undefined
  await run('ip', ['link', 'add', bridge, 'type', 'bridge'])
  await run('ip', ['addr', 'add', `10.${RANGE}.255.1/24`, 'dev', bridge])
  await run('ip', ['link', 'set', bridge, 'up'])

  const answers = (): Promise<boolean> =>
    run('docker', ['-H', `unix://${socket}`, 'version']).then(
      () => true,
      () => false,
    )
  const start = async (): Promise<void> => {
    child = spawn(
      'dockerd',
      [
        ['--config-file', configFile],
        ['--host', `unix://${socket}`],
        ['--data-root', join(folder, 'data')],
        ['--exec-root', join(folder, 'exec')],
        ['--pidfile', join(folder, 'pid')],
        ['--bridge', bridge],
        ['--live-restore'],
        // The rules of the shared engine are made of the same chains: they would be torn down.
        ['--iptables=false'],
        ['--storage-driver', 'overlay2'],
      ].flat(),
      { stdio: ['ignore', 'ignore', 'pipe'] },
    )
    child.stderr?.on('data', (chunk: Buffer) => log.push(chunk.toString()))
    const started = child
    await waitFor(
      'the engine answers',
      () => {
        if (started.exitCode !== null) throw new Error(`dockerd ended: ${log.join('').slice(-2_000)}`)
        return answers()
      },
      60_000,
    )
  }
  const stop = async (): Promise<void> => {
    if (!child || child.exitCode !== null || child.signalCode !== null) return
    const exited = once(child, 'exit')
    child.kill('SIGTERM')
    await exited
  }

  t.teardown(async () => {
    if (!t.passing()) t.comment(log.join('').slice(-5_000))
    // What is left of an engine that cannot start must not stand in the way of the next one.
    if (!(await answers())) await start().catch((error: unknown) => t.comment(error))
    if (await answers()) await emptied()
    await stop()
    await run('ip', ['link', 'del', bridge])
    // The engine mounts its folder onto itself, and leaves that behind with live-restore.
    await run('umount', ['--lazy', join(folder, 'data')]).catch(() => {})
    await rm(folder, { recursive: true, force: true })
  })
  const emptied = async (): Promise<void> => {
    const docker = (...args: string[]) => run('docker', ['-H', `unix://${socket}`, ...args])
    const ids = (await docker('ps', '-aq')).stdout.split('\n').filter(Boolean)
    if (ids.length > 0) await docker('rm', '-f', '-v', ...ids)
    const networks = (await docker('network', 'ls', '-q', '--filter', 'label=berth.node')).stdout
    for (const network of networks.split('\n').filter(Boolean)) await docker('network', 'rm', network)
  }
  await start()
  return { socket, pool: `10.${RANGE}.0.0/17`, stop, start }
}
