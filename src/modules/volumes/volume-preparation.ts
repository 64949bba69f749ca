import { ArchiveReader } from '../../lib/archive-reader.ts'
import { isAppError } from '../../lib/errors.ts'
import type { Runtime } from '../../runtime/runtime.ts'
import type { VolumeRoot } from '../../runtime/volume-root.ts'
import { isRoot } from './volume-archive.ts'

/** Nothing of this depends on how much is in the volume. */
const PATIENCE_MS = 60_000

/**
 * A root folder that lets everyone in a container write: a new volume belongs to root otherwise, and applications seldom run as root. Where the
 * image has the folder itself, the engine gives the volume the owner and mode of that.
 */
export function openRoot(mtime_ms: number): VolumeRoot {
  return { uid: 0, gid: 0, mode: 0o777, mtime_ms }
}

/**
 * Opens the root folder of a volume that nothing was written into yet. One that has contents stays as it is: programs rely on the owner and mode
 * that they gave it, and some refuse to start with any other.
 */
export async function prepareVolume(
  runtime: Pick<Runtime, 'readVolume' | 'setVolumeRoot'>,
  name: string,
  { isNew, now }: { isNew: boolean; now: number },
): Promise<void> {
  const signal = AbortSignal.timeout(PATIENCE_MS)
  if (isNew || (await isEmpty(runtime, name, signal)))
    await runtime.setVolumeRoot(name, openRoot(now), signal)
}

async function isEmpty(
  runtime: Pick<Runtime, 'readVolume'>,
  name: string,
  signal: AbortSignal,
): Promise<boolean> {
  const reader = new ArchiveReader({ ofVolume: true })
  // Leaving the loop ends the stream.
  for await (const chunk of await runtime.readVolume(name, signal))
    if (hasContents(reader, chunk as Buffer)) return false
  reader.end()
  return true
}

function hasContents(reader: ArchiveReader, chunk: Buffer): boolean {
  try {
    return [...reader.push(chunk)].some((event) => event.type === 'entry' && !isRoot(event.entry))
  } catch (error) {
    // A device, say, is refused where it is restored, and is something all the same.
    if (isAppError(error, 'BAD_ARCHIVE')) return true
    throw error
  }
}
