import type { Database } from '../../store/database.ts'
import type { RotationRow } from './rotation-schema.ts'

/** A column that holds sealed documents. */
export interface SealedColumn {
  table: string
  column: string
}

/** One document where it is stored. */
export interface StoredDocument {
  rowid: number
  document: string
}

type StoredRotation = Omit<RotationRow, 'created_by'> & { created_by: string }

export type SealedStore = ReturnType<typeof createSealedStore>

/**
 * SQL of what is sealed, wherever it is: every column of text whose name ends in `_sealed` holds sealed documents, so that no module can add
 * one that a change of keys would miss.
 */
export function createSealedStore(database: Database) {
  const read = (row: StoredRotation): RotationRow => ({
    ...row,
    created_by: JSON.parse(row.created_by) as RotationRow['created_by'],
  })
  const one = (sql: string, parameters: Record<string, string | null> = {}): RotationRow | undefined => {
    const row = database.get<StoredRotation>(sql, parameters)
    return row && read(row)
  }

  /** The columns that hold sealed documents. Throws when a table of them has no rowid to go through it by. */
  const listColumns = (): SealedColumn[] =>
    database
      .all<SealedColumn & { wr: number }>(
        `SELECT t.name AS "table", c.name AS "column", t.wr FROM pragma_table_list AS t JOIN pragma_table_info(t.name) AS c
         WHERE t.schema = 'main' AND t.type = 'table' AND c.type = 'TEXT' AND c.name LIKE '%\\_sealed' ESCAPE '\\'
         ORDER BY t.name, c.name`,
      )
      .map(({ table, column, wr }) => {
        if (wr === 1) throw new Error(`${table}.${column} holds sealed documents, so ${table} needs a rowid`)
        return { table, column }
      })

  return {
    listColumns,

    /** A column that holds a document, as `table.column`; undefined when nothing is sealed. */
    findSealed: (): string | undefined => {
      const found = listColumns().find(
        ({ table, column }) =>
          database.get(`SELECT 1 FROM "${table}" WHERE "${column}" IS NOT NULL LIMIT 1`) !== undefined,
      )
      return found && `${found.table}.${found.column}`
    },

    /** The next documents of a column behind a row. */
    listAfter: ({ table, column }: SealedColumn, rowid: number, limit: number): StoredDocument[] =>
      database.all<StoredDocument>(
        `SELECT rowid, "${column}" AS document FROM "${table}" WHERE rowid > $rowid AND "${column}" IS NOT NULL ORDER BY rowid LIMIT $limit`,
        { rowid, limit },
      ),

    /** Puts a document in the place of another one; false when that is no longer there. */
    replace: ({ table, column }: SealedColumn, { rowid, document }: StoredDocument, by: string): boolean =>
      database.run(
        `UPDATE "${table}" SET "${column}" = $by WHERE rowid = $rowid AND "${column}" = $document`,
        { rowid, document, by },
      ) === 1,

    insertRotation: (row: RotationRow): void => {
      database.run(
        `INSERT INTO secret_rotations (id, from_recipient, to_recipient, created_by, resealed, unreadable, revision, created_at, finished_at)
         VALUES ($id, $from_recipient, $to_recipient, $created_by, $resealed, $unreadable, $revision, $created_at, $finished_at)`,
        { ...row, created_by: JSON.stringify(row.created_by) },
      )
    },

    findRotation: (id: string) => one('SELECT * FROM secret_rotations WHERE id = $id', { id }),

    /** The rotation that is under way. */
    findRunning: () => one('SELECT * FROM secret_rotations WHERE finished_at IS NULL'),

    /** Rotations, newest first. */
    listRotations: (after: string | null, limit: number): RotationRow[] =>
      database
        .all<StoredRotation>(
          'SELECT * FROM secret_rotations WHERE $after IS NULL OR id < $after ORDER BY id DESC LIMIT $limit',
          { after, limit },
        )
        .map(read),

    setNewKey: (id: string, recipient: string): number =>
      database.run(
        'UPDATE secret_rotations SET to_recipient = $recipient, revision = revision + 1 WHERE id = $id',
        { id, recipient },
      ),

    countResealed: (id: string, count: number): number =>
      database.run(
        'UPDATE secret_rotations SET resealed = resealed + $count, revision = revision + 1 WHERE id = $id',
        { id, count },
      ),

    finishRotation: (id: string, unreadable: number, now: string): boolean =>
      database.run(
        `UPDATE secret_rotations SET finished_at = $now, unreadable = $unreadable, revision = revision + 1
         WHERE id = $id AND finished_at IS NULL`,
        { id, unreadable, now },
      ) === 1,
  }
}
