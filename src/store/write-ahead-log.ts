import { type FileHandle, open } from 'node:fs/promises'
import { Worker } from 'node:worker_threads'

/** SQLite's log of what has been committed, as far as it can be looked after without the thread that commits. */
export interface WriteAheadLog {
  /** Counts a commit; after many of them the log is copied into the database by a thread of its own. */
  committed(): void
  /** Resolves when all that is committed now is on the disk. */
  settle(): Promise<void>
  close(): void
}

/** Some 2 MiB of log when they are small. */
const CHECKPOINT_EVERY = 100
/** The thread is ended when nothing was committed for so long: it holds some mebibytes. */
const THREAD_IDLE_MS = 20_000

/** Looks after the log of the database in `file`. Nothing is opened before the first use. */
export function createWriteAheadLog(file: string): WriteAheadLog {
  const thread = createCheckpointThread(file)
  let handle: Promise<FileHandle> | undefined
  let failure: { error: unknown } | undefined
  let running: Promise<void> | undefined
  let following: Promise<void> | undefined
  let commits = 0

  const sync = async (): Promise<void> => {
    if (failure) throw failure.error
    try {
      // SQLite's locks are on the database and on `-shm`, which nobody else in this process may open; on this file there are none to lose.
      handle ??= open(`${file}-wal`, 'r')
      await (await handle).datasync()
    } catch (error) {
      // The kernel tells of lost writes once. Nothing behind them in the log would be found after a crash.
      failure = { error }
      throw error
    }
  }
  const begin = (): Promise<void> => {
    running = sync().finally(() => {
      running = undefined
    })
    return running
  }

  return {
    committed: () => {
      commits += 1
      if (commits < CHECKPOINT_EVERY) return
      commits = 0
      thread.checkpoint()
    },
    // A sync that began before the commit may have missed it; the next one serves all who came meanwhile.
    settle: () => {
      if (!running) return begin()
      following ??= running
        .catch(() => {})
        .then(() => {
          following = undefined
          return begin()
        })
      return following
    },
    close: () => {
      thread.end()
      void handle?.then((opened) => opened.close()).catch(() => {})
    },
  }
}

/** Copies the log into the database, on a connection of its own, when asked to; it lives for as long as it is asked now and then. */
function createCheckpointThread(file: string): { checkpoint(): void; end(): void } {
  let worker: Worker | undefined
  let hasEnded = false
  return {
    checkpoint: () => {
      if (hasEnded) return
      if (!worker) {
        const started = new Worker(new URL('./checkpoint-thread.ts', import.meta.url), {
          name: 'checkpoint',
          workerData: { file, idleMs: THREAD_IDLE_MS },
          resourceLimits: { maxYoungGenerationSizeMb: 1 },
        })
        started.unref()
        started.once('exit', () => {
          if (worker === started) worker = undefined
        })
        // The thread that commits copies the log itself when it has grown large.
        started.once('error', () => {})
        worker = started
      }
      // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
      worker.postMessage('checkpoint')
    },
    end: () => {
      hasEnded = true
      void worker?.terminate()
    },
  }
}
