/**
 * Blocks that bodies are gathered in. Without them every piece that the network hands out would live until it is written, and the heap
 * would keep hundreds of megabytes of dead ones.
 */
export const BLOCK_BYTES = 1024 * 1024
const MAX_FREE = 24
const free: Buffer[] = []

export function takeBlock(): Buffer {
  return free.pop() ?? Buffer.allocUnsafeSlow(BLOCK_BYTES)
}

/** The caller must not touch it any more. */
export function returnBlock(block: Buffer): void {
  if (free.length < MAX_FREE) free.push(block)
}
