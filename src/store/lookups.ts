/** Rows that queries found, kept until anything is written. */
export interface Lookups {
  get<Row>(
    sql: string,
    parameters: Readonly<Record<string, string | number>>,
    read: () => Row | undefined,
  ): Row | undefined
  forget(): void
}

/** Of short rows: four mebibytes, and more layers and tags than a busy node is asked for between two writes. */
const MOST = 12_000

export function createLookups(): Lookups {
  const found = new Map<string, Map<string, unknown>>()
  let count = 0
  const forget = (): void => {
    if (count === 0) return
    for (const rows of found.values()) rows.clear()
    count = 0
  }
  return {
    get: <Row>(
      sql: string,
      parameters: Readonly<Record<string, string | number>>,
      read: () => Row | undefined,
    ) => {
      let rows = found.get(sql)
      if (!rows) found.set(sql, (rows = new Map()))
      const key = JSON.stringify(parameters)
      const row = rows.get(key)
      if (row !== undefined || rows.has(key)) return row as Row | undefined
      const fresh = read()
      if (count >= MOST) forget()
      rows.set(key, fresh)
      count += 1
      return fresh
    },
    forget,
  }
}
