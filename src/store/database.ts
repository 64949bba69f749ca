import Sqlite from 'better-sqlite3'
import { createLookups } from './lookups.ts'
import { createWriteAheadLog, type WriteAheadLog } from './write-ahead-log.ts'

/** A value that SQLite takes as a parameter. */
export type SqlValue = string | number | bigint | Buffer | null
export type SqlParameters = Record<string, SqlValue>

/**
 * The narrow face of SQLite that stores see: synchronous on purpose, statements prepared once and kept by their text.
 */
export interface Database {
  /** All rows of a query. The caller vouches for the row's shape: columns and wire fields share their names. */
  all<Row>(sql: string, parameters?: SqlParameters): Row[]
  /** The first row, or undefined. */
  get<Row>(sql: string, parameters?: SqlParameters): Row | undefined
  /**
   * As `get`, answered from memory as long as nothing has been written by this connection, which is the only one that writes. The row is shared:
   * nobody may change it.
   */
  lookUp<Row>(sql: string, parameters: Readonly<Record<string, string | number>>): Row | undefined
  /** Runs a write; returns how many rows it changed. */
  run(sql: string, parameters?: SqlParameters): number
  /** Runs several statements without parameters (migrations). */
  exec(sql: string): void
  /**
   * Runs `work` in one immediate transaction; nested calls join the outer one. A throw rolls everything back. `work` must be synchronous.
   */
  transact<T>(work: () => T): T
  /**
   * As `transact`, without waiting for the disk: committed for everyone at once, and to survive a power cut from when a later `settle` has resolved. For what
   * is answered only after that.
   */
  transactUnsettled<T>(work: () => T): T
  /** Resolves when all that is committed now is on the disk. Rejects when the disk refused it, and from then on always. */
  settle(): Promise<void>
  /** Runs `effect` once the outermost transaction has committed; at once when there is none; never after a roll-back. */
  afterCommit(effect: () => void): void
  close(): void
}

/**
 * Opens (and makes) the database file. `:memory:` is for tests. While it is open, nothing else in this process may open it, not even to read:
 * closing any descriptor of it drops SQLite's locks.
 */
export function openDatabase(file: string): Database {
  const sqlite = new Sqlite(file)
  sqlite.pragma('journal_mode = WAL')
  // Switching WAL on drops better-sqlite3 to NORMAL; an answer of ours promises that the row survives a power cut.
  sqlite.pragma('synchronous = FULL')
  sqlite.pragma('foreign_keys = ON')
  sqlite.pragma('busy_timeout = 5000')
  sqlite.pragma('cache_size = -8000')
  sqlite.pragma('temp_store = MEMORY')
  // A tenth of a second or more, which the checkpoint thread is there to take off this one; in case that does not keep up.
  sqlite.pragma('wal_autocheckpoint = 8000')
  return wrap(sqlite, sqlite.memory ? undefined : createWriteAheadLog(file))
}

function wrap(sqlite: Sqlite.Database, log: WriteAheadLog | undefined): Database {
  const statements = new Map<string, Sqlite.Statement>()
  const prepare = (sql: string): Sqlite.Statement => {
    let statement = statements.get(sql)
    if (!statement) {
      statement = sqlite.prepare(sql)
      statements.set(sql, statement)
    }
    return statement
  }
  let effects: (() => void)[] = []
  const lookups = createLookups()
  const get = <Row>(sql: string, parameters: SqlParameters = {}): Row | undefined => {
    const statement = prepare(sql)
    if (!statement.readonly) lookups.forget()
    return statement.get(parameters) as Row | undefined
  }

  const transact = <T>(work: () => T): T => {
    if (sqlite.inTransaction) return work()
    log?.committed()
    effects = []
    let result: T
    try {
      result = sqlite.transaction(work).immediate()
    } catch (error) {
      effects = []
      // What was read of the transaction's own writes is not so.
      lookups.forget()
      throw error
    }
    const due = effects
    effects = []
    for (const effect of due) effect()
    return result
  }

  return {
    all: <Row>(sql: string, parameters: SqlParameters = {}) => {
      const statement = prepare(sql)
      if (!statement.readonly) lookups.forget()
      return statement.all(parameters) as Row[]
    },
    get,
    lookUp: <Row>(sql: string, parameters: Readonly<Record<string, string | number>>) =>
      lookups.get(sql, parameters, () => get<Row>(sql, parameters)),
    run: (sql, parameters = {}) => {
      lookups.forget()
      if (!sqlite.inTransaction) log?.committed()
      return prepare(sql).run(parameters).changes
    },
    exec: (sql) => {
      lookups.forget()
      sqlite.exec(sql)
    },
    transact,
    transactUnsettled: (work) => {
      if (sqlite.inTransaction || !log) return transact(work)
      // With NORMAL a commit writes to the log, and leaves it to somebody else to sync that.
      sqlite.pragma('synchronous = NORMAL')
      try {
        return transact(work)
      } finally {
        sqlite.pragma('synchronous = FULL')
      }
    },
    settle: () => log?.settle() ?? Promise.resolve(),
    afterCommit: (effect) => {
      if (sqlite.inTransaction) effects.push(effect)
      else effect()
    },
    close: () => {
      statements.clear()
      log?.close()
      sqlite.close()
    },
  }
}
