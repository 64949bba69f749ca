import { AppError, isAppError, systemCodeOf } from './errors.ts'
import type { System } from './system.ts'

const FULL: ReadonlySet<string> = new Set(['ENOSPC', 'EDQUOT', 'EFBIG', 'SQLITE_FULL'])

/** DISK_FULL for a write that failed because the disk has no room, or takes no writes at all; undefined for every other failure. */
export function diskFullOf(error: unknown): AppError | undefined {
  if (isAppError(error, 'DISK_FULL')) return error
  const code = systemCodeOf(error)
  if (code === undefined) return undefined
  if (FULL.has(code)) return new AppError('DISK_FULL', { cause: error })
  if (code !== 'EROFS' && !code.startsWith('SQLITE_READONLY')) return undefined
  return new AppError('DISK_FULL', { message: 'The disk takes no writes.', cause: error })
}

const FULL_EVERY_MS = 60_000

/**
 * Hands errors on, `tell` with the DISK_FULL that an error is; of those one a minute, because everything that is tried again fails again while
 * the disk is full.
 */
export function sparing(
  system: Pick<System, 'monotonic'>,
  tell: (error: unknown, full: AppError | undefined) => void,
): (error: unknown) => void {
  let toldAt = Number.NEGATIVE_INFINITY
  return (error) => {
    const full = diskFullOf(error)
    const now = system.monotonic()
    if (full !== undefined && now - toldAt < FULL_EVERY_MS) return
    if (full !== undefined) toldAt = now
    tell(error, full)
  }
}
