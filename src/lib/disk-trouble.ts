import { AppError, systemCodeOf } from './errors.ts'

const FULL: ReadonlySet<string> = new Set(['ENOSPC', 'EDQUOT', 'EFBIG', 'SQLITE_FULL'])

/** DISK_FULL for a write that failed because the disk has no room, or takes no writes at all; undefined for every other failure. */
export function diskFullOf(error: unknown): AppError | undefined {
  const code = systemCodeOf(error)
  if (code === undefined) return undefined
  if (FULL.has(code)) return new AppError('DISK_FULL', { cause: error })
  if (code !== 'EROFS' && !code.startsWith('SQLITE_READONLY')) return undefined
  return new AppError('DISK_FULL', { message: 'The disk takes no writes.', cause: error })
}
