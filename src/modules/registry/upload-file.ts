import { constants } from 'node:fs'
import { type FileHandle, open, rm, stat, truncate } from 'node:fs/promises'
import { diskFullOf } from '../../lib/disk-trouble.ts'
import { systemCodeOf } from '../../lib/errors.ts'

/** Writes all of the bytes at an offset; a disk that is full answers DISK_FULL. */
export async function writeWhole(handle: FileHandle, bytes: Buffer, offset: number): Promise<void> {
  for (let done = 0; done < bytes.length;) {
    const { bytesWritten } = await handle
      .write(bytes, done, bytes.length - done, offset + done)
      .catch(asDiskFull)
    done += bytesWritten
  }
}

export function asDiskFull(error: unknown): never {
  throw diskFullOf(error) ?? error
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

/**
 * The size of an upload's file that is whole; undefined when there is none. Of writes that were under way together a later one may have been done before the
 * process was killed: what they could hold, `atOnceBytes`, is cut off a file with a hole.
 */
export async function wholeSizeOf(path: string, atOnceBytes: number): Promise<number | undefined> {
  try {
    const { size, blocks } = await stat(path)
    if (blocks * 512 >= size) return size
    const whole = Math.max(0, size - atOnceBytes)
    await truncate(path, whole)
    return whole
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
