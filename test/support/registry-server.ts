import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { flushCompileCache } from 'node:module'
import { fileURLToPath } from 'node:url'
import { peakRss } from './peak-rss.ts'
import { START_SETTINGS } from './start-settings.ts'
import { openRegistryApi, type RegistryApiOptions } from './registry-api.ts'

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
    execArgv: START_SETTINGS.execArgv,
    env: { ...process.env, ...START_SETTINGS.env },
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

if (import.meta.main) {
  const api = await openRegistryApi(JSON.parse(process.argv[2] ?? '{}') as Settings)
  // It is ended by a kill, which would leave the cache empty.
  flushCompileCache()
  process.send?.({ origin: api.origin, token: await api.mintToken() })
  process.on('message', (message) => {
    if (message === 'figures') process.send?.({ cpu: process.cpuUsage(), peak_rss_bytes: peakRss() })
  })
}
