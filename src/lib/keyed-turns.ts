/** Runs pieces of work one after the other for each key; those of different keys do not wait for each other. */
export interface KeyedTurns {
  take<T>(key: string, work: () => Promise<T>): Promise<T>
}

export function createKeyedTurns(): KeyedTurns {
  const last = new Map<string, Promise<unknown>>()
  return {
    take: async (key, work) => {
      const before = last.get(key) ?? Promise.resolve()
      const mine = before.then(work, work)
      const settled = mine.catch(() => {})
      last.set(key, settled)
      try {
        return await mine
      } finally {
        if (last.get(key) === settled) last.delete(key)
      }
    },
  }
}
