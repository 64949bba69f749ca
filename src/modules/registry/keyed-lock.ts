/** Lets one at a time at each key, in the order in which they came. */
export interface KeyedLock {
  hold<T>(key: string, work: () => Promise<T>): Promise<T>
}

export function createKeyedLock(): KeyedLock {
  const tails = new Map<string, Promise<void>>()
  return {
    hold: async (key, work) => {
      const before = tails.get(key)
      const done = Promise.withResolvers<void>()
      tails.set(key, done.promise)
      try {
        await before
        return await work()
      } finally {
        done.resolve()
        if (tails.get(key) === done.promise) tails.delete(key)
      }
    },
  }
}
