import { afterThisTurn } from '../../lib/after-this-turn.ts'
import type { Database } from '../../store/database.ts'

/**
 * Commits the writes of many requests together, and waits for the disk without holding up the thread that serves: that wait is what a push would
 * otherwise pay for each of its rows.
 */
export interface CommitQueue {
  /**
   * Runs `work` in the next transaction; resolves with what it answered once that is on disk. A throw of `work` undoes only its own part
   * and rejects only its own promise.
   */
  commit<T>(work: () => T): Promise<T>
}

interface Entry {
  work: () => unknown
  resolve: (value: unknown) => void
  reject: (error: unknown) => void
}

/** As many as take a few milliseconds: other requests wait as long. */
const BATCH = 32

export function createCommitQueue(database: Database): CommitQueue {
  const waiting: Entry[] = []
  let scheduled = false

  const undoOne = (reason: unknown): void => {
    try {
      database.run('ROLLBACK TO one_of_many')
      database.run('RELEASE one_of_many')
    } catch {
      // A full disk ends the whole transaction, savepoints and all.
      throw reason
    }
  }

  const runOne = (entry: Entry): (() => void) => {
    database.run('SAVEPOINT one_of_many')
    try {
      const value = entry.work()
      database.run('RELEASE one_of_many')
      return () => entry.resolve(value)
    } catch (error) {
      undoOne(error)
      return () => entry.reject(error)
    }
  }

  /** Tells everyone once the disk has it; the next batch is worked on meanwhile. */
  const tell = async (batch: readonly Entry[], outcomes: readonly (() => void)[]): Promise<void> => {
    try {
      await database.settle()
      for (const outcome of outcomes) outcome()
    } catch (error) {
      for (const entry of batch) entry.reject(error)
    }
  }

  const flush = (): void => {
    scheduled = false
    const batch = waiting.splice(0, BATCH)
    if (waiting.length > 0) schedule()
    let outcomes: (() => void)[] = []
    try {
      database.transactUnsettled(() => {
        outcomes = batch.map(runOne)
      })
      void tell(batch, outcomes)
    } catch (error) {
      // SQLite rolled all of it back: a full disk, say.
      for (const entry of batch) entry.reject(error)
    }
  }

  const schedule = (): void => {
    if (scheduled) return
    scheduled = true
    afterThisTurn(flush)
  }

  return {
    commit: <T>(work: () => T) =>
      new Promise<T>((resolve, reject) => {
        waiting.push({ work, resolve: resolve as (value: unknown) => void, reject })
        schedule()
      }),
  }
}
