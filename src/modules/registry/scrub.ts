import { type FileHandle, open } from 'node:fs/promises'
import type { System } from '../../lib/system.ts'
import type { BlobKeeper } from './blob-keeper.ts'
import type { BlobRow, BlobStore } from './blob-store.ts'
import type { CommitQueue } from './commit-queue.ts'
import { systemCodeOf } from '../../lib/errors.ts'

export interface ScrubDeps {
  system: System
  blobs: BlobStore
  keeper: BlobKeeper
  queue: CommitQueue
  /** How often each blob is read. */
  everyMs: number
}

/** Leaves the disk to others for most of the time. */
const BYTES_PER_SECOND = 32 * 1024 ** 2
const BATCH = 50

/** Makes the body of the worker that reads every blob now and then, slowly, and sets aside what is damaged. */
export function createScrub(deps: ScrubDeps): (signal: AbortSignal) => Promise<void> {
  const { system, blobs, keeper, queue } = deps

  const verifyAndClose = async (blob: BlobRow, handle: FileHandle): Promise<boolean> => {
    try {
      return await keeper.verify(blob, handle)
    } finally {
      await handle.close()
    }
  }

  const check = async (blob: BlobRow): Promise<void> => {
    if (blob.inline === 1) {
      await keeper.checkContent(blob)
      return
    }
    const handle = await open(keeper.pathOf(blob.digest), 'r').catch((error: unknown) => {
      if (systemCodeOf(error) === 'ENOENT') return undefined
      throw error
    })
    const isWhole = handle !== undefined && (await verifyAndClose(blob, handle))
    // A collection may have removed it meanwhile.
    if (!isWhole && blobs.find(blob.digest) !== undefined) await keeper.quarantine(blob.digest)
  }

  return async (signal) => {
    for (;;) {
      const due = blobs.dueForCheck(system.now() - deps.everyMs, BATCH)
      if (due.length === 0) return
      for (const blob of due) {
        signal.throwIfAborted()
        // First, so that one that cannot be read does not hold up the others for ever.
        await queue.commit(() => blobs.setChecked(blob.digest, system.now()))
        await check(blob)
        await system.sleep((blob.size_bytes / BYTES_PER_SECOND) * 1000, signal)
      }
    }
  }
}
