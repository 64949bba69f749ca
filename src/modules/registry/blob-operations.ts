import { AppError } from '../../lib/errors.ts'
import type { System } from '../../lib/system.ts'
import type { BlobKeeper } from './blob-keeper.ts'
import type { BlobRow, BlobStore } from './blob-store.ts'
import { type ByteRange, parseRange } from './byte-range.ts'
import type { CommitQueue } from './commit-queue.ts'
import type { DirectReads } from './direct-reads.ts'
import { despiteFullDisk } from './disk-room.ts'
import { emptyAnswer, type RegistryAnswer } from './registry-answer.ts'
import { isDigest } from './registry-path.ts'
import type { RegistryRequest } from './registry-request.ts'
import type { RepositoryRow } from './registry-store.ts'
import type { RepositoryAccess } from './repository-access.ts'

export interface BlobDeps {
  system: System
  access: RepositoryAccess
  store: BlobStore
  keeper: BlobKeeper
  queue: CommitQueue
  directReads: DirectReads
  /** An answer to someone who may push counts as a touch; it is written when the last one is older than this. */
  touchEveryMs: number
}

export type BlobOperations = ReturnType<typeof createBlobOperations>

/** GET, HEAD and DELETE of blobs. */
export function createBlobOperations(deps: BlobDeps) {
  const { system, access, store, keeper, queue } = deps

  const requireBlob = (repository: RepositoryRow, digest: string): BlobRow => {
    if (!isDigest(digest)) throw new AppError('DIGEST_INVALID')
    const blob = store.findIn(repository.id, digest)
    if (!blob) throw new AppError('BLOB_UNKNOWN')
    return blob
  }

  /** A client that was told that the blob is here will not push it: its age begins anew before it is told. */
  const touch = async (request: RegistryRequest, repository: RepositoryRow, blob: BlobRow): Promise<void> => {
    const now = system.now()
    if (now - blob.touched_ms < deps.touchEveryMs || !request.caller.allows('push', repository)) return
    const isThere = await queue
      .commit(() => {
        access.requireStill(repository)
        return store.link(repository.id, blob.digest, now)
      })
      .catch(despiteFullDisk)
    if (!isThere) throw new AppError('BLOB_UNKNOWN')
  }

  const rangeOf = (request: RegistryRequest, blob: BlobRow): ByteRange | undefined => {
    const ifRange = request.header('if-range')
    if (ifRange !== undefined && ifRange !== `"${blob.digest}"`) return undefined
    const range = parseRange(request.header('range'), blob.size_bytes)
    if (range === 'unsatisfiable') throw new AppError('RANGE_INVALID', { cause: { size: blob.size_bytes } })
    return range
  }

  const send = async (
    request: RegistryRequest,
    blob: BlobRow,
    range: ByteRange | undefined,
    headers: RegistryAnswer['headers'],
  ): Promise<RegistryAnswer> => {
    const { start, end } = range ?? { start: 0, end: blob.size_bytes }
    const full = {
      ...headers,
      'Content-Length': end - start,
      ...(range && { 'Content-Range': `bytes ${start}-${end - 1}/${blob.size_bytes}` }),
    }
    const status = range ? 206 : 200
    if (request.method === 'HEAD') return { status, headers: full }
    if (blob.inline === 1) {
      const content = await keeper.readContent(blob)
      return { status, headers: full, body: range ? content.subarray(start, end) : content }
    }
    const direct = deps.directReads.begin(blob.digest, end - start)
    try {
      const handle = await keeper.openFile(blob, direct !== undefined)
      return { status, headers: full, body: { handle, start, end, ...direct } }
    } catch (error) {
      direct?.release(0, 0)
      throw error
    }
  }

  return {
    /** The bytes of a blob or a part of them. */
    getBlob: async (request: RegistryRequest, name: string, digest: string): Promise<RegistryAnswer> => {
      const repository = access.require(request.caller, name, 'pull')
      const blob = requireBlob(repository, digest)
      if (blob.corrupt === 1) throw new AppError(request.method === 'HEAD' ? 'BLOB_UNKNOWN' : 'BLOB_CORRUPT')
      const headers = {
        'Content-Type': 'application/octet-stream',
        'Docker-Content-Digest': digest,
        'Accept-Ranges': 'bytes',
        ETag: `"${digest}"`,
        'Cache-Control': 'private, max-age=31536000, immutable',
      }
      if (request.method === 'HEAD') await touch(request, repository, blob)
      if (matchesTag(request.header('if-none-match'), digest)) return { status: 304, headers }
      const range = request.method === 'HEAD' ? undefined : rangeOf(request, blob)
      return send(request, blob, range, headers)
    },

    /** Takes a blob from a repository. Refuses while a manifest of the repository needs it. */
    deleteBlob: async (request: RegistryRequest, name: string, digest: string): Promise<RegistryAnswer> => {
      const repository = access.require(request.caller, name, 'delete')
      requireBlob(repository, digest)
      await queue.commit(() => {
        const blob = store.findIn(repository.id, digest)
        if (!blob) throw new AppError('BLOB_UNKNOWN')
        const needing = store.manifestNeeding(repository.id, digest)
        if (needing !== undefined) {
          throw new AppError('IN_USE', { details: [{ message: `the manifest ${needing} needs it` }] })
        }
        store.unlink(repository.id, blob.id)
      })
      return emptyAnswer(202)
    },
  }
}

/** Whether an If-None-Match header names the digest's entity tag. */
export function matchesTag(header: string | undefined, digest: string): boolean {
  if (header === undefined) return false
  if (header.trim() === '*') return true
  return header.split(',').some((tag) => tag.trim().replace(/^W\//, '') === `"${digest}"`)
}
