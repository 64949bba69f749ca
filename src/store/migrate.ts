import { createHash } from 'node:crypto'
import {
  closeSync,
  existsSync,
  fchmodSync,
  fsyncSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import type { Database } from './database.ts'

/** One step of the schema, read from `migrations/NNNN-name.sql`. */
export interface Migration {
  version: number
  name: string
  sql: string
  /** Makes tables anew that others refer to: its first line says so. */
  rebuilds: boolean
  /** SHA-256 of the file, so that a step that was edited after it ran is noticed. */
  checksum: string
}

/** The schema cannot be brought to what this version needs; the message says what to do. */
export class MigrationError extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'MigrationError'
  }
}

/** Reads all steps in order. Throws MigrationError on gaps and doubles. */
export function readMigrations(directory: string): Migration[] {
  const files = readdirSync(directory)
    .filter((file) => file.endsWith('.sql'))
    .toSorted()
  return files.map((file, index) => {
    const match = /^(\d{4})-([a-z0-9-]+)\.sql$/.exec(file)
    const version = Number(match?.[1])
    if (!match || version !== index + 1)
      throw new MigrationError(`migrations/${file} is out of order: expected number ${index + 1}`)
    const sql = readFileSync(join(directory, file), 'utf8')
    return {
      version,
      name: match[2] ?? '',
      sql,
      rebuilds: sql.startsWith('-- rebuilds tables\n'),
      checksum: createHash('sha256').update(sql).digest('hex'),
    }
  })
}

/**
 * Brings the database to the newest step, forward only, each step in its own transaction. Before the first new step it
 * copies the database to `<file>.before-<version>`.
 *
 * Throws MigrationError when the database is newer than this program, or when a step that ran has been changed since.
 */
export function migrate(database: Database, migrations: readonly Migration[], file: string): number[] {
  database.exec(`CREATE TABLE IF NOT EXISTS schema_migrations (
    version INTEGER PRIMARY KEY, name TEXT NOT NULL, checksum TEXT NOT NULL, applied_at TEXT NOT NULL
  ) STRICT`)
  const applied = database.all<{ version: number; checksum: string; name: string }>(
    'SELECT version, checksum, name FROM schema_migrations ORDER BY version',
  )
  checkApplied(applied, migrations, file)
  const due = migrations.slice(applied.length)
  if (due.length > 0 && applied.length > 0) copyBefore(database, file, due[0]?.version ?? 0)
  for (const migration of due) {
    if (migration.rebuilds) withoutForeignKeys(database, () => apply(database, migration))
    else apply(database, migration)
  }
  return due.map((migration) => migration.version)
}

function apply(database: Database, migration: Migration): void {
  database.transact(() => {
    database.exec(migration.sql)
    if (migration.rebuilds) requireNoOrphans(database, migration)
    database.run(
      `INSERT INTO schema_migrations (version, name, checksum, applied_at)
       VALUES ($version, $name, $checksum, strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))`,
      { version: migration.version, name: migration.name, checksum: migration.checksum },
    )
  })
}

/**
 * Dropping a table deletes what refers to it while foreign keys are on, and inside a transaction the switch does nothing
 * (sqlite.org/lang_altertable.html, section 7).
 */
function withoutForeignKeys(database: Database, work: () => void): void {
  database.exec('PRAGMA foreign_keys = OFF')
  try {
    work()
  } finally {
    database.exec('PRAGMA foreign_keys = ON')
  }
}

function requireNoOrphans(database: Database, { version, name }: Migration): void {
  const [orphan] = database.all<{ table: string; parent: string }>('PRAGMA foreign_key_check')
  if (!orphan) return
  throw new MigrationError(
    `migration ${version} (${name}) would leave rows of ${orphan.table} without their ${orphan.parent}; nothing was changed.`,
  )
}

function checkApplied(
  applied: readonly { version: number; checksum: string; name: string }[],
  migrations: readonly Migration[],
  file: string,
): void {
  const newest = applied.at(-1)?.version ?? 0
  if (newest > migrations.length) {
    throw new MigrationError(
      `${file} was written by a newer Berth (schema ${newest}, this one knows ${migrations.length}). Install that version again; nothing was changed.`,
    )
  }
  for (const [index, row] of applied.entries()) {
    if (migrations[index]?.checksum !== row.checksum) {
      throw new MigrationError(
        `migration ${row.version} (${row.name}) is not the one that made ${file}. Install the version that made it; nothing was changed.`,
      )
    }
  }
}

/**
 * SQLite writes the copy, with what is still in the write-ahead log: opened and closed by another way in this process, the file would
 * lose every lock that SQLite holds on it (sqlite.org/howtocorrupt.html, section 2.2), and the next reader outside would take the log away.
 */
function copyBefore(database: Database, file: string, version: number): void {
  if (file === ':memory:' || !existsSync(file)) return
  const copy = `${file}.before-${String(version).padStart(4, '0')}`
  const temporary = `${copy}.tmp`
  // Of a start that was cut off; SQLite refuses to write over it.
  rmSync(temporary, { force: true })
  try {
    database.run('VACUUM INTO $temporary', { temporary })
    syncFile(temporary, 0o600)
    renameSync(temporary, copy)
  } catch (error) {
    rmSync(temporary, { force: true })
    throw error
  }
  syncFile(dirname(copy))
}

/** Makes a file, or what a directory lists, survive a power cut. Never for the database that is open. */
function syncFile(path: string, mode?: number): void {
  const descriptor = openSync(path, 'r')
  try {
    if (mode !== undefined) fchmodSync(descriptor, mode)
    fsyncSync(descriptor)
  } finally {
    closeSync(descriptor)
  }
}
