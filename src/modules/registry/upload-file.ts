import { constants } from 'node:fs'
import { type FileHandle, open, rm, stat } from 'node:fs/promises'
import { AppError, systemCodeOf } from '../../lib/errors.ts'

/** Writes pieces at an offset, all of them; a disk that is full answers DISK_FULL. */
export async function writePieces(handle: FileHandle, pieces: Buffer[], offset: number): Promise<void> {
  let rest = pieces
  let at = offset
  while (rest.length > 0) {
    const { bytesWritten } = await handle.writev(rest, at).catch(asDiskFull)
    at += bytesWritten
    rest = skip(rest, bytesWritten)
  }
}

/** writev(2) may write less than it was given. */
function skip(pieces: Buffer[], bytes: number): Buffer[] {
  let left = bytes
  for (const [index, piece] of pieces.entries()) {
    if (left < piece.length) return [piece.subarray(left), ...pieces.slice(index + 1)]
    left -= piece.length
  }
  return []
}

export function asDiskFull(error: unknown): never {
  const code = systemCodeOf(error)
  if (code === 'ENOSPC' || code === 'EDQUOT' || code === 'EFBIG' || code === 'EROFS')
    throw new AppError('DISK_FULL', { cause: error })
  throw error
}

export async function openUploadFile(path: string): Promise<FileHandle> {
  // Not truncated: an upload goes on where it stopped. Not for appending: that would ignore the offsets.
  return open(path, constants.O_RDWR | constants.O_CREAT, 0o600).catch(asDiskFull)
}

/** The size of the file; undefined when there is none. */
export async function sizeOf(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).size
  } catch (error) {
    if (systemCodeOf(error) === 'ENOENT') return undefined
    throw error
  }
}

export async function removeFile(path: string): Promise<void> {
  await rm(path, { force: true })
}

/**
 * What a file looks like from outside. Whoever changes its bytes changes this: the kernel sets the change time, and nobody can set it
 * back.
 */
export async function stampOf(handle: FileHandle): Promise<{ stamp: string; size: number }> {
  const { ino, size, mtimeNs, ctimeNs } = await handle.stat({ bigint: true })
  return { stamp: `${ino}-${size}-${mtimeNs}-${ctimeNs}`, size: Number(size) }
}
