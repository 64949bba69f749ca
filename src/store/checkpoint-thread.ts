import Sqlite from 'better-sqlite3'
import { parentPort, workerData } from 'node:worker_threads'
import { createSystem } from '../lib/system.ts'

/**
 * The body of the checkpoint thread. A checkpoint reads the log, writes the database and waits for the disk twice, and may do so while others read and
 * commit.
 */
const { file, idleMs } = workerData as { file: string; idleMs: number }
const sqlite = new Sqlite(file, { fileMustExist: true })
sqlite.pragma('cache_size = -200')

const end = (): void => {
  sqlite.close()
  parentPort?.close()
}
const system = createSystem()
let keep = (): void => {}

parentPort?.on('message', () => {
  keep()
  try {
    sqlite.pragma('wal_checkpoint(PASSIVE)')
  } catch {
    // A full disk, say: the log stays as it is, and the next one tries again.
  }
  keep = system.later(idleMs, end)
})
