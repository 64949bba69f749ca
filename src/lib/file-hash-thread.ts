import { createHash, type Hash } from 'node:crypto'
import { closeSync, openSync, readSync } from 'node:fs'
import { parentPort } from 'node:worker_threads'

/**
 * The body of a hash thread: reads files behind those who write them, so that bytes need not be handed from thread to thread and the
 * thread that serves never hashes more than a few kilobytes.
 */
export type HashOrder =
  | { op: 'follow'; job: number; path: string; algorithm: string }
  | { op: 'advance'; job: number; to: number }
  | { op: 'finish'; job: number; size: number }
  | { op: 'drop'; job: number }

export type HashReport = { job: number; hex: string } | { job: number; error: string }

interface Job {
  file: number
  hash: Hash
  at: number
  to: number
  finishing: boolean
}

const BLOCK_BYTES = 512 * 1024
const block = Buffer.allocUnsafeSlow(BLOCK_BYTES)
const jobs = new Map<number, Job>()
let turning = false

function report(message: HashReport): void {
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
  parentPort?.postMessage(message)
}

function end(id: number): void {
  const job = jobs.get(id)
  jobs.delete(id)
  if (job) closeSync(job.file)
}

/** One block of every job that has work, then a look at the orders that came meanwhile. */
function turn(): void {
  turning = false
  for (const [id, job] of jobs) {
    try {
      step(id, job)
    } catch (error) {
      report({ job: id, error: error instanceof Error ? error.message : String(error) })
      end(id)
    }
  }
  if ([...jobs.values()].some((job) => job.at < job.to)) wake()
}

function step(id: number, job: Job): void {
  if (job.at < job.to) {
    const read = readSync(job.file, block, 0, Math.min(BLOCK_BYTES, job.to - job.at), job.at)
    if (read === 0) throw new Error(`the file ends at ${job.at}, before ${job.to}`)
    job.hash.update(read === BLOCK_BYTES ? block : block.subarray(0, read))
    job.at += read
  }
  if (!job.finishing || job.at < job.to) return
  report({ job: id, hex: job.hash.digest('hex') })
  end(id)
}

function wake(): void {
  if (turning) return
  turning = true
  setImmediate(turn)
}

function obey(order: HashOrder): void {
  if (order.op === 'follow') {
    const file = openSync(order.path, 'r')
    jobs.set(order.job, { file, hash: createHash(order.algorithm), at: 0, to: 0, finishing: false })
    return
  }
  const job = jobs.get(order.job)
  if (!job) return
  if (order.op === 'drop') end(order.job)
  else if (order.op === 'advance') job.to = Math.max(job.to, order.to)
  else {
    job.to = order.size
    job.finishing = true
  }
  wake()
}

parentPort?.on('message', (order: HashOrder) => {
  try {
    obey(order)
  } catch (error) {
    report({ job: order.job, error: error instanceof Error ? error.message : String(error) })
    end(order.job)
  }
})
