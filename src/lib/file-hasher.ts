import { availableParallelism } from 'node:os'
import { Worker } from 'node:worker_threads'
import type { HashOrder, HashReport } from './file-hash-thread.ts'
import type { SharedBlock } from './shared-blocks.ts'

/** Algorithms that OCI digests name. */
export type HashAlgorithm = 'sha256' | 'sha512'

/** Hashes a file while it grows. */
export interface Following {
  readonly algorithm: HashAlgorithm
  /** Writes the first `bytes` of a block at an offset of the file, and hashes them. Rejects with the system's error code; that ends it. */
  write(block: SharedBlock, bytes: number, at: number): Promise<void>
  /** Says that the first `to` bytes have been written by somebody else. */
  advance(to: number): void
  /** The digest of the first `size` bytes, which are all written; ends it. */
  finish(size: number): Promise<string>
  /** Ends it without an answer; harmless after `finish`. */
  drop(): void
}

/** Threads that hash files. */
export interface FileHasher {
  /** `isWriter`: the file is opened for writing, and made if there is none. */
  follow(path: string, algorithm: HashAlgorithm, options?: { isWriter: boolean }): Following
  /** Ends threads that have nothing to do, ten mebibytes each; the others forget the blocks that they have seen. */
  rest(): void
  close(): Promise<void>
}

const MAX_THREADS = 2

interface Waiting {
  resolve: (hex: string) => void
  reject: (error: Error) => void
  /** Writes that are under way, the oldest first. */
  writes: { resolve: () => void; reject: (error: Error) => void }[]
}

interface Thread {
  worker: Worker
  jobs: Map<number, Waiting>
  load: number
  /** Blocks whose memory it knows. */
  blocks: Set<number>
}

class HashFailure extends Error {
  readonly code: string | undefined

  constructor(message: string, code?: string) {
    super(`hashing failed: ${message}`)
    this.code = code
  }
}

/** Makes the hash threads as they are needed. */
export function createFileHasher(): FileHasher {
  const threads: Thread[] = []
  // One core is the serving thread's.
  const most = Math.max(1, Math.min(MAX_THREADS, availableParallelism() - 1))
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
      blocks: new Set(),
    }
    thread.worker.unref()
    thread.worker.on('message', (report: HashReport) => settle(thread, report))
    const fail = (error: Error): void => {
      const index = threads.indexOf(thread)
      if (index >= 0) threads.splice(index, 1)
      for (const waiting of thread.jobs.values()) rejectAll(waiting, error)
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
    follow: (path, algorithm, { isWriter } = { isWriter: false }) => {
      if (closed) throw new Error('the registry is closing')
      const thread = pick()
      const job = (lastJob += 1)
      const { promise, resolve, reject } = Promise.withResolvers<string>()
      // Nobody may wait for it yet, or ever.
      promise.catch(() => {})
      thread.jobs.set(job, { resolve, reject, writes: [] })
      send(thread, { op: 'follow', job, path, algorithm, isWriter })
      return follower(thread, job, algorithm, promise)
    },
    rest: () => {
      for (const thread of threads.filter(({ load }) => load === 0)) {
        threads.splice(threads.indexOf(thread), 1)
        void thread.worker.terminate()
      }
      for (const thread of threads) {
        thread.blocks.clear()
        send(thread, { op: 'forget' })
      }
    },
    close: async () => {
      closed = true
      await Promise.all(threads.map((thread) => thread.worker.terminate()))
    },
  }
}

function send(thread: Thread, order: HashOrder): void {
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
  thread.worker.postMessage(order)
}

function settle(thread: Thread, report: HashReport): void {
  const waiting = thread.jobs.get(report.job)
  if (!waiting) return
  if ('wrote' in report) waiting.writes.shift()?.resolve()
  else {
    thread.jobs.delete(report.job)
    if ('hex' in report) waiting.resolve(report.hex)
    else rejectAll(waiting, new HashFailure(report.error, report.code))
  }
}

function rejectAll({ reject, writes }: Waiting, error: Error): void {
  reject(error)
  for (const write of writes) write.reject(error)
}

function follower(thread: Thread, job: number, algorithm: HashAlgorithm, digest: Promise<string>): Following {
  let isOver = false
  thread.load += 1
  const over = (): void => {
    if (!isOver) thread.load -= 1
    isOver = true
  }
  return {
    algorithm,
    write: (block, bytes, at) => {
      const waiting = thread.jobs.get(job)
      if (!waiting) return Promise.reject(new HashFailure('it has ended'))
      const { promise, resolve, reject } = Promise.withResolvers<void>()
      waiting.writes.push({ resolve, reject })
      const { id, memory, offset } = block
      const place = thread.blocks.has(id) ? undefined : { memory, offset, length: block.bytes.length }
      thread.blocks.add(id)
      send(thread, { op: 'write', job, block: id, place, bytes, at })
      return promise
    },
    advance: (to) => send(thread, { op: 'advance', job, to }),
    finish: async (size) => {
      send(thread, { op: 'finish', job, size })
      try {
        return `${algorithm}:${await digest}`
      } finally {
        over()
      }
    },
    drop: () => {
      if (isOver) return
      over()
      const waiting = thread.jobs.get(job)
      thread.jobs.delete(job)
      if (waiting) rejectAll(waiting, new Error('the upload has ended'))
      send(thread, { op: 'drop', job })
    },
  }
}
