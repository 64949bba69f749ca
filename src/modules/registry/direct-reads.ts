import type { SharedBlock, SharedBlocks } from '../../lib/shared-blocks.ts'
import type { System } from '../../lib/system.ts'

/** Memory for a download that reads past the page cache. */
export interface DirectRead {
  readonly memory: readonly Buffer[]
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
const MOST = 4
const BLOCKS_EACH = 3
/** Whoever pulls the same again within this time is better served from the page cache. */
const REPEATED_MS = 10 * 60_000
const MOST_REMEMBERED = 1000

/**
 * Decides which downloads read past the page cache: large ones that are the first of their blob for a while, as long as the disk keeps up with the
 * network.
 */
export function createDirectReads(blocks: SharedBlocks, system: System) {
  let under = 0
  let slowUntil = 0
  /** When a blob was last pulled, the longest ago first. */
  const pulled = new Map<string, number>()

  const isRepeated = (digest: string): boolean => {
    const now = system.monotonic()
    const before = pulled.get(digest)
    pulled.delete(digest)
    pulled.set(digest, now)
    const [oldest] = pulled.keys()
    if (pulled.size > MOST_REMEMBERED && oldest !== undefined) pulled.delete(oldest)
    return before !== undefined && now - before < REPEATED_MS
  }
  const takeBlocks = (): SharedBlock[] | undefined => {
    const taken: SharedBlock[] = []
    while (taken.length < BLOCKS_EACH) {
      const block = blocks.take()
      if (!block) {
        for (const each of taken) blocks.giveBack(each)
        return undefined
      }
      taken.push(block)
    }
    return taken
  }

  return {
    /** Undefined: it should be read as ever. */
    begin: (digest: string, bytes: number): DirectRead | undefined => {
      if (bytes < LEAST_BYTES || isRepeated(digest)) return undefined
      if (under >= MOST || system.monotonic() < slowUntil) return undefined
      const taken = takeBlocks()
      if (!taken) return undefined
      under += 1
      return {
        memory: taken.map(({ bytes: memory }) => memory),
        release: (read, ms) => {
          under -= 1
          for (const block of taken) blocks.giveBack(block)
          if (read > JUDGED_BYTES && read / ms < FAST_BYTES_PER_MS) slowUntil = system.monotonic() + SLOW_MS
        },
      }
    },
  }
}
export type DirectReads = ReturnType<typeof createDirectReads>
