import { spawn } from 'node:child_process'
import { mkdir, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { WARM_ARGUMENT } from '../../ingress/contract/control-protocol.ts'
import { WORKER_FLAGS, WORKER_PROGRAM } from './worker-code.ts'

const PREFIX = 'compile-cache-'
const WARM_MS = 30_000

/** Where workers find their program in compiled form; `program` is the fingerprint of that, whatever their settings. */
export function compileCacheOf(directory: string, program: string): string {
  return join(directory, `${PREFIX}${program}`)
}

/**
 * Fills the compile cache, unless it is there, and removes those of earlier programs. Without it every worker would load Node's
 * TypeScript parser and keep it: nearly 40 MB each. A worker that is killed never writes its own cache, so this is done ahead.
 */
export async function warmCompileCache(directory: string, program: string): Promise<void> {
  const cache = compileCacheOf(directory, program)
  const present = (await readdir(directory)).filter((name) => name.startsWith(PREFIX))
  for (const name of present) {
    if (join(directory, name) !== cache) await rm(join(directory, name), { recursive: true, force: true })
  }
  if (present.some((name) => join(directory, name) === cache)) return
  await mkdir(cache, { mode: 0o700 })
  await new Promise<void>((resolve, reject) => {
    const child = spawn(process.execPath, [...WORKER_FLAGS, WORKER_PROGRAM, WARM_ARGUMENT], {
      cwd: '/',
      env: { NODE_COMPILE_CACHE: cache },
      stdio: 'ignore',
      timeout: WARM_MS,
    })
    child.once('error', reject)
    child.once('exit', () => resolve())
  })
}
