import type { FileHandle } from 'node:fs/promises'
import type { Writable } from 'node:stream'
import type { System } from '../lib/system.ts'

/** Large reads are few; when many download at once each gets a small piece of memory. */
const LARGE_BLOCK = 512 * 1024
const SMALL_BLOCK = 64 * 1024
const FEW = 8
/** One is sent while others are read. */
const BLOCKS = 3
/** Reads that are under way at a time, so that the disk need not wait for us. */
const READS = 2

/** What direct I/O is aligned to. */
const ALIGNMENT = 4096

/** Whoever takes not one block in this time holds a file and memory for nothing: that is less than 2 KiB a second. */
const STALL_MS = 5 * 60_000
const LOOK_MS = 15_000

type Clock = Pick<System, 'monotonic' | 'later'>

let sending = 0

/** A part of an open file, `end` exclusive. */
export interface FilePartToSend {
  readonly handle: FileHandle
  readonly start: number
  readonly end: number
  /** Memory to read into that fits a file which is opened for direct I/O, three blocks or so; given back by `release`. */
  readonly memory?: readonly Buffer[] | undefined
  /** Told when it is over, with how long reading so many bytes was waited for: not at all where the client is slower than the disk. */
  readonly release?: ((bytes: number, readMs: number) => void) | undefined
}

/**
 * Sends a part of a file as the body of an answer whose head is written, reading ahead of the client by a bounded amount, and closes the
 * file; the answer is not ended. A client that leaves, or that takes nothing for minutes, ends it quietly; a file that cannot be read to its end breaks the connection, because the
 * announced length cannot be kept any more.
 */
export async function sendFilePart(response: Writable, part: FilePartToSend, clock: Clock): Promise<void> {
  const reading = { bytes: 0, ms: 0 }
  const writing = { begun: 0, done: 0 }
  const cancelWatch = watchClient(response, writing, clock)
  sending += 1
  try {
    await sendBlocks(response, part, slotsFor(part), { reading, writing }, clock)
  } catch (error) {
    response.destroy()
    if (!(error instanceof ClientGone)) throw error
  } finally {
    sending -= 1
    cancelWatch()
    await part.handle.close()
    part.release?.(reading.bytes, reading.ms)
  }
}

class ClientGone extends Error {}

/** Blocks that were handed to the network, and those of them that it has taken. */
interface Writing {
  begun: number
  done: number
}

/** Breaks the connection of a client that takes nothing. A disk that gives nothing is not the client's fault. */
function watchClient(response: Writable, writing: Readonly<Writing>, clock: Clock): () => void {
  let seen = 0
  let since = clock.monotonic()
  const look = (): void => {
    const now = clock.monotonic()
    const isWaiting = writing.begun > writing.done && writing.done === seen
    if (!isWaiting) since = now
    seen = writing.done
    if (now - since > STALL_MS) response.destroy()
    else cancel = clock.later(LOOK_MS, look)
  }
  let cancel = clock.later(LOOK_MS, look)
  return () => cancel()
}

interface Slot {
  buffer: Buffer
  sent: Promise<void>
}

/** Memory that is read into in turn. */
function slotsFor({ memory, start, end }: FilePartToSend): Slot[] {
  const sent = Promise.resolve()
  if (memory) return memory.map((buffer) => ({ buffer, sent }))
  const size = Math.max(1, Math.min(sending <= FEW ? LARGE_BLOCK : SMALL_BLOCK, end - start))
  return Array.from({ length: Math.min(BLOCKS, Math.ceil((end - start) / size)) }, () => ({
    buffer: Buffer.allocUnsafeSlow(size),
    sent,
  }))
}

/** A block of the file on its way into memory. */
interface Reading {
  readonly slot: Slot
  readonly at: number
  readonly result: Promise<{ bytesRead: number }>
}

async function sendBlocks(
  response: Writable,
  part: FilePartToSend,
  slots: readonly Slot[],
  { reading, writing }: { reading: { bytes: number; ms: number }; writing: Writing },
  clock: Clock,
): Promise<void> {
  const gone = Promise.withResolvers<never>()
  gone.promise.catch(() => {})
  const onClose = (): void => gone.reject(new ClientGone())
  response.once('close', onClose)
  if (response.destroyed) onClose()
  const underWay: Reading[] = []
  const sendNext = async (): Promise<void> => {
    const next = underWay[0]
    if (!next) return
    const startedAt = clock.monotonic()
    const { bytesRead } = await next.result
    reading.ms += clock.monotonic() - startedAt
    reading.bytes += bytesRead
    underWay.shift()
    next.slot.sent = write(response, wanted(part, next, bytesRead), writing)
  }
  try {
    let at = part.memory ? part.start - (part.start % ALIGNMENT) : part.start
    for (let turn = 0; at < part.end; turn += 1) {
      const slot = slots[turn % slots.length]
      if (!slot) return
      await Promise.race([slot.sent, gone.promise])
      underWay.push({ slot, at, result: readBlock(part, slot.buffer, at) })
      at += slot.buffer.length
      if (underWay.length >= Math.min(READS, slots.length)) await sendNext()
    }
    while (underWay.length > 0) await sendNext()
    await Promise.race([Promise.all(slots.map((slot) => slot.sent)), gone.promise])
  } finally {
    response.off('close', onClose)
    // Nobody may have the memory, or close the file, while the kernel still reads into it.
    await Promise.allSettled(underWay.map(({ result }) => result))
  }
}

function readBlock(part: FilePartToSend, buffer: Buffer, at: number): Promise<{ bytesRead: number }> {
  const length = part.memory ? buffer.length : Math.min(buffer.length, part.end - at)
  const result = part.handle.read(buffer, 0, length, at)
  result.catch(() => {})
  return result
}

/** What of a block belongs to the part. Throws when the file has become shorter. */
function wanted(part: FilePartToSend, { slot, at }: Reading, bytesRead: number): Buffer {
  const to = Math.min(slot.buffer.length, part.end - at)
  // A regular file is read whole, but at its end.
  if (bytesRead < to) throw new Error('the file is shorter than it was')
  return slot.buffer.subarray(Math.max(0, part.start - at), to)
}

/** Resolves when the bytes have left the buffer, which may then be filled anew. */
function write(response: Writable, bytes: Buffer, writing: Writing): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  promise.catch(() => {})
  writing.begun += 1
  response.write(bytes, (error) => {
    writing.done += 1
    if (error) reject(new ClientGone())
    else resolve()
  })
  return promise
}
