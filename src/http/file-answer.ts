import type { FileHandle } from 'node:fs/promises'
import type { Writable } from 'node:stream'

/** Large reads are few; when many download at once each gets a small piece of memory. */
const LARGE_BLOCK = 512 * 1024
const SMALL_BLOCK = 64 * 1024
const FEW = 8
const BLOCKS = 3

let sending = 0

/**
 * Sends a part of a file as the body of an answer whose head is written, reading ahead of the client by a bounded amount, and closes the
 * file; the answer is not ended. A client that leaves ends it quietly; a file that cannot be read to its end breaks the connection, because the
 * announced length cannot be kept any more.
 */
export async function sendFilePart(
  response: Writable,
  part: { handle: FileHandle; start: number; end: number },
): Promise<void> {
  sending += 1
  try {
    await sendBlocks(response, part, sending <= FEW ? LARGE_BLOCK : SMALL_BLOCK)
  } catch (error) {
    response.destroy()
    if (!(error instanceof ClientGone)) throw error
  } finally {
    sending -= 1
    await part.handle.close()
  }
}

class ClientGone extends Error {}

async function sendBlocks(
  response: Writable,
  { handle, start, end }: { handle: FileHandle; start: number; end: number },
  blockBytes: number,
): Promise<void> {
  const gone = Promise.withResolvers<never>()
  gone.promise.catch(() => {})
  const onClose = (): void => gone.reject(new ClientGone())
  response.once('close', onClose)
  if (response.destroyed) onClose()
  const size = Math.max(1, Math.min(blockBytes, end - start))
  const slots = Array.from({ length: Math.min(BLOCKS, Math.ceil((end - start) / size)) }, () => ({
    buffer: Buffer.allocUnsafeSlow(size),
    sent: Promise.resolve(),
  }))
  try {
    for (let at = start, turn = 0; at < end; turn += 1) {
      const slot = slots[turn % slots.length]
      if (!slot) return
      await Promise.race([slot.sent, gone.promise])
      const { bytesRead } = await handle.read(slot.buffer, 0, Math.min(size, end - at), at)
      if (bytesRead === 0) throw new Error('the file is shorter than it was')
      slot.sent = write(response, slot.buffer.subarray(0, bytesRead))
      at += bytesRead
    }
    await Promise.race([Promise.all(slots.map((slot) => slot.sent)), gone.promise])
  } finally {
    response.off('close', onClose)
  }
}

/** Resolves when the bytes have left the buffer, which may then be filled anew. */
function write(response: Writable, bytes: Buffer): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  promise.catch(() => {})
  response.write(bytes, (error) => (error ? reject(new ClientGone()) : resolve()))
  return promise
}
