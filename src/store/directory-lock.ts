import Sqlite from 'better-sqlite3'
import { systemCodeOf } from '../lib/errors.ts'

/** The data directory is in use by another daemon. */
export class DirectoryInUse extends Error {
  constructor(file: string) {
    super(`Another Berth daemon uses this data directory (${file} is locked).`)
    this.name = 'DirectoryInUse'
  }
}

/**
 * Takes a lock that the system lets go of when the process ends in any way: SQLite's own lock on a file of its own. Throws
 * DirectoryInUse.
 */
export function lockDirectory(file: string): { release(): void } {
  const sqlite = new Sqlite(file, { timeout: 0 })
  try {
    sqlite.pragma('locking_mode = EXCLUSIVE')
    // Nothing is ever written into it, and a journal for that would need room on a disk that may be full.
    sqlite.pragma('journal_mode = MEMORY')
    sqlite.exec('BEGIN EXCLUSIVE')
  } catch (error) {
    sqlite.close()
    if (systemCodeOf(error)?.startsWith('SQLITE_BUSY') === true) throw new DirectoryInUse(file)
    throw error
  }
  return { release: () => void sqlite.close() }
}
