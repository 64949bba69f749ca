import { execFile } from 'node:child_process'
import { access } from 'node:fs/promises'
import { AppError } from '../../lib/errors.ts'
import { LABELS } from '../../runtime/labels.ts'
import type { Runtime } from '../../runtime/runtime.ts'

const SYNC_MS = 120_000

/**
 * Makes what brings a volume of the engine to the disk: what the engine unpacked is in the memory of the kernel only. Where its directory
 * cannot be seen from here, that is as far as it goes. Throws NOT_FOUND when the volume has gone, INTERNAL when the disk does not take it in time.
 */
export function createVolumeSync(runtime: Pick<Runtime, 'listVolumes'>, sync = syncFileSystem) {
  return async (name: string): Promise<void> => {
    const volumes = await runtime.listVolumes({ [LABELS.kind]: 'volume' })
    const found = volumes.find((each) => each.name === name)
    if (!found) throw new AppError('NOT_FOUND', { cause: new Error(`no volume ${name}`) })
    if (found.directory !== null && (await isVisible(found.directory))) await sync(found.directory)
  }
}

async function isVisible(directory: string): Promise<boolean> {
  try {
    await access(directory)
    return true
  } catch {
    return false
  }
}

/** Writes the file system of a directory to its disk. Throws INTERNAL when that fails or takes longer than `timeoutMs`. */
export async function syncFileSystem(directory: string, timeoutMs = SYNC_MS): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  execFile(
    'sync',
    ['--file-system', '--', directory],
    { timeout: timeoutMs, killSignal: 'SIGKILL', cwd: '/', env: { PATH: '/usr/bin:/bin' } },
    (error) => (error ? reject(new AppError('INTERNAL', { cause: error })) : resolve()),
  )
  return promise
}
