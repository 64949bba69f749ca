import { availableParallelism } from 'node:os'
import { Worker } from 'node:worker_threads'
import type { HashOrder, HashReport } from './file-hash-thread.ts'

/** Algorithms that OCI digests name. */
export type HashAlgorithm = 'sha256' | 'sha512'

/** Hashes a file while it grows. */
export interface Following {
  readonly algorithm: HashAlgorithm
  /** Says that the first `to` bytes are written. */
  advance(to: number): void
  /** The digest of the first `size` bytes, which are all written; ends it. */
  finish(size: number): Promise<string>
  /** Ends it without an answer; harmless after `finish`. */
  drop(): void
}

/** Threads that hash files. */
export interface FileHasher {
  follow(path: string, algorithm: HashAlgorithm): Following
  close(): Promise<void>
}

const MAX_THREADS = 2

interface Thread {
  worker: Worker
  jobs: Map<number, { resolve: (hex: string) => void; reject: (error: Error) => void }>
  load: number
}

/** Makes the hash threads as they are needed. */
export function createFileHasher(): FileHasher {
  const threads: Thread[] = []
  const most = Math.min(MAX_THREADS, availableParallelism())
  let lastJob = 0
  let closed = false

  const start = (): Thread => {
    const thread: Thread = {
      worker: new Worker(new URL('./file-hash-thread.ts', import.meta.url), {
        name: 'file-hash',
        // It keeps nothing but a block and the states of its hashes.
        resourceLimits: { maxYoungGenerationSizeMb: 4 },
      }),
      jobs: new Map(),
      load: 0,
    }
    thread.worker.unref()
    thread.worker.on('message', (report: HashReport) => {
      const waiting = thread.jobs.get(report.job)
      thread.jobs.delete(report.job)
      if ('hex' in report) waiting?.resolve(report.hex)
      else waiting?.reject(new Error(`hashing failed: ${report.error}`))
    })
    const fail = (error: Error): void => {
      const index = threads.indexOf(thread)
      if (index >= 0) threads.splice(index, 1)
      for (const { reject } of thread.jobs.values()) reject(error)
      thread.jobs.clear()
    }
    thread.worker.on('error', fail)
    thread.worker.on('exit', () => fail(new Error('the hash thread ended')))
    threads.push(thread)
    return thread
  }

  const pick = (): Thread => {
    const idle = threads.toSorted((one, other) => one.load - other.load)[0]
    return idle && (idle.load === 0 || threads.length >= most) ? idle : start()
  }

  return {
    follow: (path, algorithm) => {
      if (closed) throw new Error('the registry is closing')
      const thread = pick()
      const job = (lastJob += 1)
      // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
      const send = (order: HashOrder): void => thread.worker.postMessage(order)
      const { promise, resolve, reject } = Promise.withResolvers<string>()
      // Nobody may wait for it yet, or ever.
      promise.catch(() => {})
      let isOver = false
      const over = (): void => {
        if (!isOver) thread.load -= 1
        isOver = true
      }
      thread.load += 1
      thread.jobs.set(job, { resolve, reject })
      send({ op: 'follow', job, path, algorithm })
      return {
        algorithm,
        advance: (to) => send({ op: 'advance', job, to }),
        finish: async (size) => {
          send({ op: 'finish', job, size })
          try {
            return `${algorithm}:${await promise}`
          } finally {
            over()
          }
        },
        drop: () => {
          if (isOver) return
          over()
          thread.jobs.delete(job)
          send({ op: 'drop', job })
        },
      }
    },
    close: async () => {
      closed = true
      await Promise.all(threads.map((thread) => thread.worker.terminate()))
    },
  }
}
