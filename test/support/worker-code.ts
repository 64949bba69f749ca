import { existsSync } from 'node:fs'
import { cp, mkdir, mkdtemp, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { compileCacheOf, warmCompileCache } from '../../src/modules/ingress/compile-cache.ts'
import { fingerprintProgram } from '../../src/modules/ingress/worker-code.ts'

const CACHE = fileURLToPath(new URL('../../node_modules/.cache/ingress', import.meta.url))

let made: Promise<string> | undefined

/** Gives a new data directory the compiled program of the ingress that an earlier start would have left, which takes a process a second. */
export async function seedWorkerCode(dataDir: string): Promise<void> {
  made ??= makeWorkerCode()
  const program = await made
  const directory = join(dataDir, 'ingress')
  await mkdir(directory, { mode: 0o700, recursive: true })
  await cp(compileCacheOf(CACHE, program), compileCacheOf(directory, program), { recursive: true })
}

/** Makes it unless an earlier test did; answers the fingerprint of the program. */
async function makeWorkerCode(): Promise<string> {
  const program = await fingerprintProgram()
  const kept = compileCacheOf(CACHE, program)
  await mkdir(CACHE, { recursive: true })
  const making = await mkdtemp(join(CACHE, 'making-'))
  try {
    // Others see it only once it is whole.
    if (!existsSync(kept)) await warmCompileCache(making, program)
    await rename(compileCacheOf(making, program), kept).catch(() => {})
  } finally {
    await rm(making, { recursive: true, force: true })
  }
  return program
}
