import type { System } from './system.ts'

/** Of the standard library's types only the browser's have it. */
declare const WebAssembly: {
  Memory: new (size: { initial: number; maximum: number; shared: true }) => { buffer: SharedArrayBuffer }
}

/**
 * Blocks of memory that threads share: what the network brought is written and hashed from where it was read to, without a copy. The
 * kernel fills one with as few calls as it can.
 */
export interface SharedBlock {
  readonly id: number
  /** Where its bytes lie: the memory of all blocks, and the offset in it. */
  readonly memory: SharedArrayBuffer
  readonly offset: number
  readonly bytes: Buffer
}

export const BLOCK_BYTES = 1024 * 1024
/** More are not lent at a time: 32 MiB. */
const MAX_LENT = 32
const WEB_ASSEMBLY_PAGE = 64 * 1024

export interface SharedBlocks {
  /** A block, or undefined when all are in use. */
  take(): SharedBlock | undefined
  /** Nobody may touch it any more. */
  giveBack(block: SharedBlock): void
  /** As `giveBack`, for one that a connection may still read into: it is not lent again before that has ended or gone on. */
  abandon(block: SharedBlock): void
}

/** How long blocks are kept when no body comes. */
const KEEP_MS = 10_000
/** Longer than any connection goes on with a body that nobody wants. */
const ABANDONED_MS = 60_000

/** `onTrim` is told when their memory has been given up: whoever else holds it should let go as well. */
export function createSharedBlocks(system: System, onTrim: () => void): SharedBlocks {
  let free: SharedBlock[] = []
  let lent = 0
  let lastId = 0
  let taken = 0
  /** Aligned to pages, as direct I/O demands: other memory begins behind a header of the allocator. Pages that were never used take no room. */
  const makeAll = (): SharedBlock[] => {
    const pages = (MAX_LENT * BLOCK_BYTES) / WEB_ASSEMBLY_PAGE
    const { buffer: memory } = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true })
    return Array.from({ length: MAX_LENT }, (_, index) => {
      lastId += 1
      const offset = (MAX_LENT - 1 - index) * BLOCK_BYTES
      return { id: lastId, memory, offset, bytes: Buffer.from(memory, offset, BLOCK_BYTES) }
    })
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
      if (free.length === 0) free = makeAll()
      return free.pop()
    },
    giveBack: (block) => {
      lent -= 1
      free.push(block)
      trimWhenIdle()
    },
    abandon: (block) => {
      system.later(ABANDONED_MS, () => {
        lent -= 1
        free.push(block)
        trimWhenIdle()
      })
    },
  }
}
