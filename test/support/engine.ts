import { spawn } from 'node:child_process'
import { closeSync, existsSync, mkdirSync, openSync, readFileSync } from 'node:fs'
import { request } from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'

/** Where a Docker Engine listens by default. */
export const ENGINE_SOCKET = '/var/run/docker.sock'

const LOG_FILE = '/var/log/berth-test-dockerd.log'
const START_DEADLINE_MS = 60_000
/** How long another process (a package script, say) may still bring an engine up after ours gave way to it. */
const OTHER_ENGINE_MS = 15_000

/** What became of one ping. `denied`: an engine is there and this user may not speak to it. */
export type EngineState = 'up' | 'down' | 'denied'

/** Asks the engine behind `socketPath` whether it is alive. */
export function pingEngine(socketPath = ENGINE_SOCKET): Promise<EngineState> {
  return new Promise((resolve) => {
    const ping = request({ socketPath, path: '/_ping', timeout: 2000 }, (response) => {
      response.resume()
      resolve(response.statusCode === 200 ? 'up' : 'down')
    })
    ping.on('timeout', () => ping.destroy(new Error('no answer')))
    ping.on('error', (error: NodeJS.ErrnoException) => resolve(error.code === 'EACCES' ? 'denied' : 'down'))
    ping.end()
  })
}

/**
 * Starts a Docker Engine and waits until it answers. `asRoot` is what precedes a command that root must run (`sudo -n`, or nothing).
 * Throws with the end of the engine's log when it does not come up.
 */
export async function startEngine(asRoot: readonly string[]): Promise<void> {
  const launch = underSystemd() ? ['systemctl', 'start', 'docker'] : ['dockerd']
  const exited = launchDetached([...asRoot, ...launch])
  const deadline = Date.now() + START_DEADLINE_MS
  let giveUpAt = deadline
  for (;;) {
    const state = await pingEngine()
    if (state === 'up') return
    if (state === 'denied') throw new Error(deniedMessage())
    // An engine that exits at once usually lost against one that is still starting: its pid file is taken.
    if (exited.done) giveUpAt = Math.min(giveUpAt, Date.now() + OTHER_ENGINE_MS)
    if (Date.now() >= giveUpAt) break
    await delay(200)
  }
  throw new Error(
    `the Docker Engine did not answer on ${ENGINE_SOCKET} (${launch.join(' ')}). The end of ${LOG_FILE}:\n${endOfLog()}`,
  )
}

/** What to tell a user whom the engine's socket refuses. */
export function deniedMessage(): string {
  return `a Docker Engine runs, but this user may not open ${ENGINE_SOCKET}. Run as root, or: sudo usermod -aG docker "$USER", then log in again`
}

function underSystemd(): boolean {
  return existsSync('/run/systemd/system')
}

/** Starts the engine in its own session, so that it outlives the tests and a Ctrl-C in their terminal. */
function launchDetached(command: string[]): { done: boolean } {
  const [program = '', ...args] = command
  const log = openLog()
  const child = spawn(program, args, { detached: true, stdio: ['ignore', log, log] })
  closeSync(log)
  const exited = { done: false }
  child.on('error', () => (exited.done = true))
  child.on('exit', () => (exited.done = true))
  child.unref()
  return exited
}

function openLog(): number {
  try {
    mkdirSync('/var/log', { recursive: true })
    return openSync(LOG_FILE, 'a', 0o640)
  } catch {
    // Not root: sudo starts the engine and its output has nowhere else to go.
    return openSync('/dev/null', 'a')
  }
}

function endOfLog(): string {
  try {
    return readFileSync(LOG_FILE, 'utf8').split('\n').slice(-15).join('\n')
  } catch {
    return '(there is no log)'
  }
}
