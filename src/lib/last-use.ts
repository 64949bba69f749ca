/** When each of many was used last. That it cannot be written must not cost the use. */
export interface LastUse {
  /** Writes that one is used now (RFC 3339); what cannot be written is remembered. Never throws. */
  note(id: string, at: string): void
  /** The instant to go by, where a row has `stored`. */
  of<At extends string | null>(id: string, stored: At): At | string
  /** Writes what is only remembered; before rows are removed by what they have. Throws what the database throws. */
  settle(): void
}

/** Keeps instants of use through `write`; `onError` is told of what was not written. */
export function createLastUse(
  write: (id: string, at: string) => void,
  onError: (error: unknown) => void,
): LastUse {
  const unwritten = new Map<string, string>()
  const put = (id: string, at: string): void => {
    write(id, at)
    unwritten.delete(id)
  }
  return {
    note: (id, at) => {
      try {
        put(id, at)
      } catch (error) {
        unwritten.set(id, at)
        onError(error)
      }
    },
    of: (id, stored) => unwritten.get(id) ?? stored,
    settle: () => {
      for (const [id, at] of unwritten) put(id, at)
    },
  }
}
