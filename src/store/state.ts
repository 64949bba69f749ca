import { chmodSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { System } from '../lib/system.ts'
import { type Database, openDatabase } from './database.ts'
import { lockDirectory } from './directory-lock.ts'
import { migrate, readMigrations } from './migrate.ts'

const MIGRATIONS = fileURLToPath(new URL('../../migrations', import.meta.url))

export interface State {
  database: Database
  /** Stands for this data directory in everything that Berth makes outside it. */
  nodeId: string
  close(): void
}

/**
 * Opens the data directory: locks it, brings the database to the newest schema, and knows the node's id. Throws DirectoryInUse and
 * MigrationError.
 */
export function openState(dataDir: string, system: System): State {
  mkdirSync(dataDir, { recursive: true, mode: 0o700 })
  // It may have been there before, open to everyone; the files in it are then out of reach all the same.
  chmodSync(dataDir, 0o700)
  const lock = lockDirectory(join(dataDir, 'lock'))
  try {
    const file = join(dataDir, 'berth.db')
    const database = openDatabase(file)
    try {
      migrate(database, readMigrations(MIGRATIONS), file)
      return {
        database,
        nodeId: ensureNodeId(database, system),
        close: () => {
          database.close()
          lock.release()
        },
      }
    } catch (error) {
      database.close()
      throw error
    }
  } catch (error) {
    lock.release()
    throw error
  }
}

function ensureNodeId(database: Database, system: System): string {
  const known = database.get<{ id: string }>('SELECT id FROM node')?.id
  if (known !== undefined) return known
  database.run('INSERT OR IGNORE INTO node (singleton, id, created_at) VALUES (1, $id, $now)', {
    id: system.newId(),
    now: system.nowIso(),
  })
  return database.get<{ id: string }>('SELECT id FROM node')?.id ?? ''
}
