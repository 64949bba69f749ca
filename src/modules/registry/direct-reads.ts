import type { SharedBlock, SharedBlocks } from '../../lib/shared-blocks.ts'
import type { System } from '../../lib/system.ts'

/** Memory for a download that reads past the page cache. */
export interface DirectRead {
  readonly memory: Buffer
  /** Gives the memory back; tells how long reading so many bytes was waited for. */
  release(bytes: number, readMs: number): void
}

/** A smaller file is not worth the trouble. */
const LEAST_BYTES = 1024 ** 2
/** A slower disk is behind what the page cache gives to whoever pulls the same again. */
const FAST_BYTES_PER_MS = 200 * 1024
/** Fewer say nothing about the disk. */
const JUDGED_BYTES = 8 * 1024 ** 2
const SLOW_MS = 10 * 60_000
/** Beside the blocks that uploads need. */
const MOST = 8

/** Decides which downloads read past the page cache: large ones, as long as the disk keeps up with the network. */
export function createDirectReads(blocks: SharedBlocks, system: System) {
  let under = 0
  let slowUntil = 0
  return {
    /** Undefined: it should be read as ever. */
    begin: (bytes: number): DirectRead | undefined => {
      if (bytes < LEAST_BYTES || under >= MOST || system.monotonic() < slowUntil) return undefined
      const block: SharedBlock | undefined = blocks.take()
      if (!block) return undefined
      under += 1
      return {
        memory: block.bytes,
        release: (read, ms) => {
          under -= 1
          blocks.giveBack(block)
          if (read > JUDGED_BYTES && read / ms < FAST_BYTES_PER_MS) slowUntil = system.monotonic() + SLOW_MS
        },
      }
    },
  }
}
export type DirectReads = ReturnType<typeof createDirectReads>
