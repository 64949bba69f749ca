/** Lets the pieces of one body through in order: several may be on their way at once, none after one that failed. */
export interface PieceLine {
  /**
   * Runs `admit` when all earlier pieces have been admitted, then `write`: at once when the piece and the one before it are `ordered` by who writes them,
   * else when all earlier ones are written. Resolves when the piece is written.
   */
  pass<T>(
    admit: () => Promise<T>,
    isOrdered: () => boolean,
    write: (admitted: T) => Promise<void>,
  ): Promise<void>
}

export function createPieceLine(): PieceLine {
  let admitted: Promise<unknown> = Promise.resolve()
  let written: Promise<void> = Promise.resolve()
  /** Whether the last one is written by who keeps the order. */
  let wasOrdered = true
  let failure: { error: unknown } | undefined

  return {
    pass: async (admit, isOrdered, write) => {
      const before = written
      // In an object: a promise that is returned would be waited for.
      const entered = admitted.then(async () => {
        const value = await admit()
        const isNowOrdered = isOrdered()
        if (!isNowOrdered || !wasOrdered) await before
        wasOrdered = isNowOrdered
        if (failure) throw failure.error
        return { writing: write(value) }
      })
      admitted = entered
      written = entered.then(({ writing }) => writing)
      try {
        await written
      } catch (error) {
        failure ??= { error }
        throw error
      }
    },
  }
}
