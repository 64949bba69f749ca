import { createHash, type Hash } from 'node:crypto'
import { closeSync, constants, openSync, readSync, write as writeCallback } from 'node:fs'
import { flushCompileCache } from 'node:module'
import { promisify } from 'node:util'
import { parentPort } from 'node:worker_threads'
import { createLanes } from './lanes.ts'

/**
 * The body of a hash thread: has shared blocks written to files and hashes them meanwhile, and reads what was written otherwise. The thread
 * that serves neither writes nor hashes more than a few kilobytes.
 */
export type HashOrder =
  | { op: 'follow'; job: number; path: string; algorithm: string; isWriter: boolean }
  | {
      op: 'write'
      job: number
      block: number
      place: SharedPlace | undefined
      bytes: number
      at: number
    }
  | { op: 'advance'; job: number; to: number }
  | { op: 'finish'; job: number; size: number }
  | { op: 'drop'; job: number }
  | { op: 'forget' }

/** Where a block lies; told once. */
export interface SharedPlace {
  memory: SharedArrayBuffer
  offset: number
  length: number
}

export type HashReport =
  | { job: number; hex: string }
  | { job: number; wrote: true }
  | { job: number; error: string; code?: string | undefined }

interface Job {
  file: number
  /** The same file past the page cache; undefined where the file system does not take that. */
  direct: number | undefined
  /** Blocks go that way: not where the disk has refused it. */
  isDirect: boolean
  hash: Hash
  /** Hashed so far. */
  at: number
  /** Written so far, and to be hashed. */
  to: number
  finishing: boolean
  /** Under way, the oldest first. They are told of in this order, whichever ends first. */
  writes: { isDone: boolean; end: number }[]
  failure: { error: unknown } | undefined
}

const READ_BYTES = 512 * 1024
let readBlock: Buffer | undefined
const blocks = new Map<number, Buffer>()
const jobs = new Map<number, Job>()
let turning = false

function report(message: HashReport): void {
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
  parentPort?.postMessage(message)
}

function reportFailure(job: number, error: unknown): void {
  const code = (error as NodeJS.ErrnoException | undefined)?.code
  report({ job, error: error instanceof Error ? error.message : String(error), code })
}

function end(id: number): void {
  const job = jobs.get(id)
  jobs.delete(id)
  if (job && job.writes.length === 0) close(job)
}

function close(job: Job): void {
  closeSync(job.file)
  if (job.direct !== undefined) closeSync(job.direct)
}

/** One block of every job that has work, then a look at the orders that came meanwhile. */
function turn(): void {
  turning = false
  for (const [id, job] of jobs) {
    try {
      step(id, job)
    } catch (error) {
      reportFailure(id, error)
      end(id)
    }
  }
  if ([...jobs.values()].some((job) => job.at < job.to)) wake()
}

function step(id: number, job: Job): void {
  if (job.at < job.to) {
    readBlock ??= Buffer.allocUnsafeSlow(READ_BYTES)
    const read = readSync(job.file, readBlock, 0, Math.min(READ_BYTES, job.to - job.at), job.at)
    if (read === 0) throw new Error(`the file ends at ${job.at}, before ${job.to}`)
    job.hash.update(read === READ_BYTES ? readBlock : readBlock.subarray(0, read))
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

/** What direct I/O is aligned to; no disk asks for more. */
const ALIGNMENT = 4096

function openDirect(path: string): number | undefined {
  try {
    return openSync(path, constants.O_WRONLY | constants.O_DIRECT)
  } catch {
    return undefined
  }
}

const writeSome = promisify(writeCallback)

async function writeAll(
  file: number,
  block: Buffer,
  from: number,
  to: number,
  offset: number,
): Promise<void> {
  for (let done = from; done < to;)
    done += (await writeSome(file, block, done, to - done, offset + done)).bytesWritten
}

/**
 * Writes past the page cache what is aligned: an answer waits for the disk in any case, and the copy into fresh pages of the cache costs more than
 * everything else about a push where a hypervisor has to find memory for them.
 */
async function writeBlock(job: Job, block: Buffer, bytes: number, at: number): Promise<void> {
  let direct = job.isDirect && at % ALIGNMENT === 0 ? bytes - (bytes % ALIGNMENT) : 0
  if (job.direct !== undefined && direct > 0) {
    try {
      await writeAll(job.direct, block, 0, direct, at)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EINVAL') throw error
      job.isDirect = false
      direct = 0
    }
  }
  await writeAll(job.file, block, direct, bytes, at)
}

/** Writes of a thread that wait for the disk at a time: it is slower one after the other, and Node has few threads to wait in. */
const lanes = createLanes(2)

async function writeInTurn(job: Job, order: HashOrder & { op: 'write' }): Promise<void> {
  try {
    await lanes.run(async () => {
      const block = blocks.get(order.block)
      if (!block) throw new Error('the block is unknown')
      if (!job.failure) await writeBlock(job, block, order.bytes, order.at)
    })
  } catch (error) {
    job.failure ??= { error }
  }
}

async function write(id: number, job: Job, order: HashOrder & { op: 'write' }): Promise<void> {
  const { bytes, at } = order
  const entry = { isDone: false, end: at + bytes }
  job.writes.push(entry)
  const written = writeInTurn(job, order)
  const block = blocks.get(order.block)
  // What was there before is read first, and then this too.
  if (block && job.at === at) {
    job.hash.update(bytes === block.length ? block : block.subarray(0, bytes))
    job.at = entry.end
  }
  await written
  entry.isDone = true
  settleWrites(id, job)
}

/** Tells of writes that have ended; of a failure only when none is under way: then nobody touches the blocks or the file any more. */
function settleWrites(id: number, job: Job): void {
  if (job.failure) {
    if (job.writes.some(({ isDone }) => !isDone)) return
    job.writes = []
    if (jobs.get(id) === job) {
      reportFailure(id, job.failure.error)
      end(id)
    } else close(job)
    return
  }
  while (job.writes[0]?.isDone === true) {
    job.to = Math.max(job.to, job.writes[0].end)
    job.writes.shift()
    report({ job: id, wrote: true })
  }
  if (jobs.get(id) !== job) {
    if (job.writes.length === 0) close(job)
  } else if (job.at < job.to || job.finishing) wake()
}

function obey(order: HashOrder): void {
  if (order.op === 'forget') {
    blocks.clear()
    return
  }
  if (order.op === 'follow') {
    // Not truncated: an upload goes on where it stopped.
    const flags = order.isWriter ? constants.O_RDWR | constants.O_CREAT : constants.O_RDONLY
    const file = openSync(order.path, flags, 0o600)
    const direct = order.isWriter ? openDirect(order.path) : undefined
    jobs.set(order.job, {
      file,
      direct,
      isDirect: direct !== undefined,
      hash: createHash(order.algorithm),
      at: 0,
      to: 0,
      finishing: false,
      writes: [],
      failure: undefined,
    })
    return
  }
  // First of all: it is told once, also to an upload that has failed meanwhile.
  if (order.op === 'write' && order.place) {
    const { memory, offset, length } = order.place
    blocks.set(order.block, Buffer.from(memory, offset, length))
  }
  const job = jobs.get(order.job)
  if (!job) {
    if (order.op === 'write') throw new Error('the upload has ended')
    return
  }
  if (order.op === 'drop') {
    end(order.job)
    return
  }
  if (order.op === 'write') void write(order.job, job, order)
  else if (order.op === 'advance') job.to = Math.max(job.to, order.to)
  else {
    job.to = order.size
    job.finishing = true
  }
  if (job.at < job.to || job.finishing) wake()
}

parentPort?.on('message', (order: HashOrder) => {
  try {
    obey(order)
  } catch (error) {
    if (order.op === 'forget') throw error
    reportFailure(order.job, error)
    // A write that failed ends it: none of those behind it may leave a gap.
    end(order.job)
  }
})

// The thread is ended from outside, which keeps nothing: the next one would be compiled anew, and the first push waits for that.
setImmediate(flushCompileCache)
