import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Database, openDatabase } from '../../src/store/database.ts'
import { migrate, readMigrations } from '../../src/store/migrate.ts'

let template: Buffer | undefined

/** Opens a database file, a new one with the schema of today; `:memory:` is one that no file keeps. */
export function openMigrated(file: string): Database {
  if (file !== ':memory:') {
    seedDatabase(file)
    return openDatabase(file)
  }
  const database = openDatabase(file)
  bringUp(database, file)
  return database
}

/** Makes the file of a new database unless it is there. The steps to its schema, each of which waits for the disk, are taken once in a process. */
export function seedDatabase(file: string): void {
  if (existsSync(file)) return
  template ??= makeTemplate()
  writeFileSync(file, template, { mode: 0o600 })
}

function makeTemplate(): Buffer {
  const folder = mkdtempSync(join(tmpdir(), 'berth-template-'))
  try {
    const file = join(folder, 'berth.db')
    const database = openDatabase(file)
    bringUp(database, file)
    // The last connection takes into the file what the log beside it holds.
    database.close()
    return readFileSync(file)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

function bringUp(database: Database, file: string): void {
  migrate(database, readMigrations(new URL('../../migrations', import.meta.url).pathname), file)
}
