import { statfs } from 'node:fs/promises'
import { diskFullOf } from '../../lib/disk-trouble.ts'
import { AppError } from '../../lib/errors.ts'
import type { System } from '../../lib/system.ts'

/** Throws DISK_FULL unless so many bytes fit beside the reserve. */
export type RequireRoom = (bytes: number) => Promise<void>

/** Small pushes come by the thousand; the disk does not fill so fast. */
const LOOK_EVERY_MS = 250

export function createRequireRoom(deps: {
  system: System
  directory: string
  reserveBytes: number
}): RequireRoom {
  let free = 0
  let lookedAt = Number.NEGATIVE_INFINITY
  return async (bytes) => {
    const now = deps.system.monotonic()
    if (now - lookedAt > LOOK_EVERY_MS || free < bytes) {
      lookedAt = now
      const { bavail, bsize } = await statfs(deps.directory)
      free = bavail * bsize - deps.reserveBytes
    }
    if (free < bytes) throw new AppError('DISK_FULL')
  }
}

/** For a note that a pull makes in passing: pulls go on when the disk takes no writes. A push is told again what is missing. */
export function despiteFullDisk(error: unknown): true {
  if (!diskFullOf(error)) throw error
  return true
}
