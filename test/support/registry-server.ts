import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { flushCompileCache } from 'node:module'
import { fileURLToPath } from 'node:url'
import { openRegistryApi, type RegistryApiOptions } from './registry-api.ts'

const CODE_CACHE = fileURLToPath(new URL('../../node_modules/.cache/berth', import.meta.url))

export interface RegistryServer {
  child: ChildProcess
  origin: string
  token: string
}

type Settings = Pick<RegistryApiOptions, 'dataDir' | 'settings' | 'workers'>

/** The registry in a process of its own, which a test may kill. */
export async function forkRegistryServer(settings: Settings): Promise<RegistryServer> {
  const child = fork(fileURLToPath(import.meta.url), [JSON.stringify(settings)], {
    stdio: 'inherit',
    // As the start command has it (ADR 7), so that figures are the daemon's.
    execArgv: ['--max-semi-space-size=4'],
    env: {
      ...process.env,
      MALLOC_ARENA_MAX: '2',
      MALLOC_TRIM_THRESHOLD_: '131072',
      MALLOC_MMAP_THRESHOLD_: '131072',
      UV_THREADPOOL_SIZE: '8',
      NODE_COMPILE_CACHE: CODE_CACHE,
      // What the test runner adds to every process would count as the daemon's.
      NODE_OPTIONS: '',
    },
  })
  const [ready] = (await once(child, 'message')) as [{ origin: string; token: string }]
  return { child, ...ready }
}

/** Ends the process as a power cut would, and waits for its end. */
export async function killServer({ child }: RegistryServer): Promise<void> {
  const ended = once(child, 'exit')
  child.kill('SIGKILL')
  await ended
}

/** Of this program: what `resourceUsage` tells begins with the memory of the process that made this one. */
function peakRss(): number {
  const [, kibibytes = ''] = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8')) ?? []
  return Number(kibibytes) * 1024
}

if (import.meta.main) {
  const api = await openRegistryApi(JSON.parse(process.argv[2] ?? '{}') as Settings)
  // It is ended by a kill, which would leave the cache empty.
  flushCompileCache()
  process.send?.({ origin: api.origin, token: await api.mintToken() })
  process.on('message', (message) => {
    if (message === 'figures') process.send?.({ cpu: process.cpuUsage(), peak_rss_bytes: peakRss() })
  })
}
