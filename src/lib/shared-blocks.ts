import type { System } from './system.ts'

/**
 * Blocks of memory that threads share: what the network brought is written and hashed from where it was read to, without a copy. The
 * kernel fills one with as few calls as it can.
 */
export interface SharedBlock {
  readonly id: number
  readonly memory: SharedArrayBuffer
  readonly bytes: Buffer
}

export const BLOCK_BYTES = 1024 * 1024
/** More are not lent at a time: 32 MiB. */
const MAX_LENT = 32
/** Kept for the next body. */
const MAX_FREE = 24

export interface SharedBlocks {
  /** A block, or undefined when all are in use. */
  take(): SharedBlock | undefined
  /** Nobody may touch it any more. */
  giveBack(block: SharedBlock): void
  /** As `giveBack`, for one that somebody may still write to: it is not used again. */
  abandon(block: SharedBlock): void
}

/** How long blocks are kept when no body comes. */
const KEEP_MS = 10_000

/** `onTrim` is told when their memory has been given up: whoever else holds it should let go as well. */
export function createSharedBlocks(system: System, onTrim: () => void): SharedBlocks {
  let free: SharedBlock[] = []
  let lent = 0
  let lastId = 0
  let taken = 0
  const make = (): SharedBlock => {
    const memory = new SharedArrayBuffer(BLOCK_BYTES)
    lastId += 1
    return { id: lastId, memory, bytes: Buffer.from(memory) }
  }
  const trimWhenIdle = (): void => {
    if (lent > 0) return
    const seen = taken
    system.later(KEEP_MS, () => {
      if (taken !== seen || free.length === 0) return
      free = []
      onTrim()
    })
  }
  return {
    take: () => {
      if (lent >= MAX_LENT) return undefined
      lent += 1
      taken += 1
      return free.pop() ?? make()
    },
    giveBack: (block) => {
      lent -= 1
      if (free.length < MAX_FREE) free.push(block)
      trimWhenIdle()
    },
    abandon: () => {
      lent -= 1
      trimWhenIdle()
    },
  }
}
