import { constants } from 'node:fs'
import { type FileHandle, open, rename } from 'node:fs/promises'
import { dirname } from 'node:path'
import { syncDirectory } from '../../lib/durable-file.ts'
import { AppError, systemCodeOf } from '../../lib/errors.ts'
import type { System } from '../../lib/system.ts'
import type { BlobRow, BlobStore } from './blob-store.ts'
import type { CommitQueue } from './commit-queue.ts'
import type { ContentCache } from './content-cache.ts'
import { matchesDigest } from './digest.ts'
import { syncFile } from './early-sync.ts'
import type { FileHasher } from '../../lib/file-hasher.ts'
import type { KeyedLock } from './keyed-lock.ts'
import { algorithmOf } from './registry-path.ts'
import type { RegistryTree } from './registry-tree.ts'
import { asDiskFull, openUploadFile, removeFile, sizeOf, stampOf } from './upload-file.ts'

export interface BlobKeeperDeps {
  system: System
  tree: RegistryTree
  store: BlobStore
  queue: CommitQueue
  hasher: FileHasher
  cache: ContentCache
  /** Held by digest around every change of a file and its row together, so that a collection never meets a push half-way. */
  locks: KeyedLock
  /** Told of every blob that is found damaged. */
  onCorrupt: (digest: string) => void
}

const VERIFY_ATTEMPTS = 5

/** Past the page cache, where the file system takes that. */
async function openToRead(path: string, isDirect: boolean): Promise<FileHandle> {
  if (!isDirect) return open(path, 'r')
  try {
    return await open(path, constants.O_RDONLY | constants.O_DIRECT)
  } catch (error) {
    if (systemCodeOf(error) !== 'EINVAL') throw error
    return open(path, 'r')
  }
}

export type BlobKeeper = ReturnType<typeof createBlobKeeper>

/** Keeps the bytes of blobs: small ones in the database, the others in files named by their digest. */
export function createBlobKeeper(deps: BlobKeeperDeps) {
  const { system, tree, store, queue, hasher, cache, locks } = deps

  const placeFile = async (path: string, digest: string): Promise<string> => {
    const target = tree.blob(digest)
    await tree.ensureDirectory(dirname(target)).catch(asDiskFull)
    const handle = await openUploadFile(path)
    try {
      await syncFile(handle).catch(asDiskFull)
      await rename(path, target).catch(asDiskFull)
      await syncDirectory(dirname(target))
      return (await stampOf(handle)).stamp
    } finally {
      await handle.close()
    }
  }

  /** Sets a damaged blob aside. A client that asks whether it exists is told no, and pushes it again. */
  const quarantine = async (digest: string): Promise<void> => {
    await locks.hold(digest, async () => {
      await rename(tree.blob(digest), tree.quarantined(digest)).catch((error: unknown) => {
        if (systemCodeOf(error) !== 'ENOENT') throw error
      })
      await queue.commit(() => store.setCorrupt(digest))
      cache.delete(digest)
    })
    deps.onCorrupt(digest)
  }

  /** Reads the whole file; answers whether it is what its name says. Throws BUSY when it changes all the time. */
  const verify = async (
    blob: Pick<BlobRow, 'digest' | 'size_bytes'>,
    handle: FileHandle,
  ): Promise<boolean> => {
    for (let attempt = 0; attempt < VERIFY_ATTEMPTS; attempt += 1) {
      const before = await stampOf(handle)
      const path = tree.blob(blob.digest)
      if (before.size !== blob.size_bytes) return false
      if ((await hasher.follow(path, algorithmOf(blob.digest)).finish(before.size)) !== blob.digest)
        return false
      // A backup that makes a link changes the stamp, and not the bytes.
      if ((await stampOf(handle)).stamp !== before.stamp) continue
      await queue.commit(() => store.setStamp(blob.digest, before.stamp, system.now()))
      return true
    }
    throw new AppError('BUSY', { retryAfterSeconds: 5 })
  }

  const openFile = async (blob: BlobRow, isDirect = false): Promise<FileHandle> => {
    const path = tree.blob(blob.digest)
    let handle: FileHandle
    try {
      handle = await openToRead(path, isDirect)
    } catch (error) {
      if (systemCodeOf(error) !== 'ENOENT') throw error
      // A collection may have removed it since the row was read.
      if (store.find(blob.digest) === undefined) throw new AppError('BLOB_UNKNOWN')
      await quarantine(blob.digest)
      throw new AppError('BLOB_CORRUPT')
    }
    try {
      // Bytes that were touched since they were last known to be right are read before they are sent.
      if ((await stampOf(handle)).stamp === blob.stamp || (await verify(blob, handle))) return handle
      await quarantine(blob.digest)
      throw new AppError('BLOB_CORRUPT')
    } catch (error) {
      await handle.close()
      throw error
    }
  }

  return {
    quarantine,
    verify,
    openFile,
    pathOf: (digest: string): string => tree.blob(digest),

    /** Sets a small blob aside when its bytes are not what its digest says. */
    checkContent: async ({ digest }: BlobRow): Promise<void> => {
      const content = store.content(digest)
      if (content !== undefined && !matchesDigest(digest, content)) await quarantine(digest)
    },

    /** Keeps bytes that are in memory and links them to the repository, durably. `admit` may refuse, in the same transaction. */
    putContent: async (
      repositoryId: number,
      digest: string,
      content: Buffer,
      admit: () => unknown,
    ): Promise<void> => {
      await queue.commit(() => {
        admit()
        const now = system.now()
        const found = store.find(digest)
        if (found === undefined || found.corrupt === 1)
          store.put({ digest, size_bytes: content.length, content, stamp: null }, now)
        store.link(repositoryId, digest, now)
      })
    },

    /**
     * Keeps a file whose digest is known to be right and links it to the repository; the file is gone from `path` afterwards. When `admit` refuses in
     * the transaction, the next collection finds a file without a row.
     */
    putFile: async (
      repositoryId: number,
      digest: string,
      { path, size }: { path: string; size: number },
      admit: () => unknown,
    ): Promise<void> => {
      await locks.hold(digest, async () => {
        const found = store.find(digest)
        const isThere =
          found?.corrupt === 0 && (found.inline === 1 || (await sizeOf(tree.blob(digest))) === size)
        if (isThere) {
          await queue.commit(() => {
            admit()
            store.link(repositoryId, digest, system.now())
          })
          await removeFile(path)
          return
        }
        const stamp = await placeFile(path, digest)
        try {
          await queue.commit(() => {
            admit()
            const now = system.now()
            store.put({ digest, size_bytes: size, content: null, stamp }, now)
            store.link(repositoryId, digest, now)
          })
        } catch (error) {
          // Without its row the file is nobody's: the upload has it back, and may be finished when there is room.
          if (store.find(digest)?.stamp !== stamp) await rename(tree.blob(digest), path)
          throw error
        }
      })
    },

    /** The bytes of a small blob, checked when they come from the disk. Throws BLOB_CORRUPT. */
    readContent: async (blob: BlobRow): Promise<Buffer> => {
      const cached = cache.get(blob.digest)
      if (cached) return cached
      const content = store.content(blob.digest)
      if (content === undefined) throw new AppError('BLOB_UNKNOWN')
      if (!matchesDigest(blob.digest, content)) {
        await quarantine(blob.digest)
        throw new AppError('BLOB_CORRUPT')
      }
      cache.set(blob.digest, content)
      return content
    },
  }
}
