import type { FileHandle } from 'node:fs/promises'
import type { BodySource } from '../../lib/body-source.ts'
import { AppError } from '../../lib/errors.ts'
import { BLOCK_BYTES, type SharedBlock, type SharedBlocks } from '../../lib/shared-blocks.ts'
import { joined } from '../../lib/joined.ts'
import type { System } from '../../lib/system.ts'
import { digestOf } from './digest.ts'
import { EarlySync } from './early-sync.ts'
import type { RequireRoom } from './disk-room.ts'
import { createOpenUploads } from './open-uploads.ts'
import type { Following, FileHasher } from '../../lib/file-hasher.ts'
import { DIGEST_ALGORITHMS, type DigestAlgorithm } from './registry-path.ts'
import type { RepositoryRow } from './registry-store.ts'
import type { RegistryTree } from './registry-tree.ts'
import { createPieceLine } from './piece-line.ts'
import { takeBody } from './request-body.ts'
import { PIECES_TAKEN } from './body-intake.ts'
import { asDiskFull, openUploadFile, removeFile, wholeSizeOf, writeWhole } from './upload-file.ts'

/** A blob that is being pushed. Its size so far is what the client may go on from. */
export interface UploadSession {
  readonly id: string
  readonly repositoryId: number
  readonly projectId: string
  /** As asked for at the beginning. */
  readonly algorithm: DigestAlgorithm | undefined
  readonly path: string
  size: number
  /** The bytes while they are few and no file is made; undefined: they are in the file. */
  parts: Buffer[] | undefined
  following: Following | undefined
  isBusy: boolean
  touchedMs: number
}

/** The repository that an upload is for. */
type Owner = Pick<RepositoryRow, 'id' | 'project_id'>

export interface UploadSessionDeps {
  system: System
  tree: RegistryTree
  hasher: FileHasher
  blocks: SharedBlocks
  requireRoom: RequireRoom
  maxBytes: number
}

/** Blobs up to this size never become a file. */
export const SMALL_BYTES = 64 * 1024
/** What small unfinished uploads may take of memory together. */
const MAX_HELD_BYTES = 16 * 1024 ** 2
/** One to which nothing has come is given up after this time when there are many. */
const EMPTY_MS = 15 * 60_000
/** Hash threads keep a file open for each; beyond that a finished upload is read once more. */
const MAX_FOLLOWED = 64

export type UploadSessions = ReturnType<typeof createUploadSessions>

/** The uploads that are under way. What is in files outlives a restart; what is small and unfinished does not. */
export function createUploadSessions(deps: UploadSessionDeps) {
  const { system, tree, hasher } = deps
  const sessions = createOpenUploads()
  let heldBytes = 0
  let followed = 0

  const follow = (session: UploadSession): void => {
    if (session.following || followed >= MAX_FOLLOWED) return
    session.following = hasher.follow(session.path, session.algorithm ?? 'sha256', { isWriter: true })
    followed += 1
  }
  const unfollow = (session: UploadSession): Following | undefined => {
    const { following } = session
    if (following) followed -= 1
    session.following = undefined
    return following
  }
  const forget = (session: UploadSession): void => {
    sessions.remove(session)
    unfollow(session)?.drop()
    if (session.parts) heldBytes -= session.size
    session.parts = undefined
  }

  const forgetEmpty = (projectId: string): void => {
    const before = system.now() - EMPTY_MS
    for (const session of sessions.list()) {
      const isEmpty = session.projectId === projectId && session.size === 0 && session.parts !== undefined
      if (isEmpty && !session.isBusy && session.touchedMs < before) forget(session)
    }
  }

  const cancel = async (session: UploadSession): Promise<void> => {
    const hasFile = session.parts === undefined
    forget(session)
    if (hasFile) await removeFile(session.path)
  }

  /** Moves what is held in memory into a file. */
  const spill = async (session: UploadSession, handle: FileHandle): Promise<void> => {
    const { parts, size } = session
    if (!parts) return
    if (size > 0) {
      await deps.requireRoom(size)
      await writeWhole(handle, joined(parts), 0)
    }
    follow(session)
    session.following?.advance(size)
    heldBytes -= size
    session.parts = undefined
  }

  const hold = (session: UploadSession, piece: Buffer): void => {
    session.parts?.push(piece)
    session.size += piece.length
    heldBytes += piece.length
  }

  /** Writes a piece behind the others; a block by the thread that hashes it, while the next one is on its way there. */
  const append = async (
    session: UploadSession,
    handle: FileHandle,
    piece: Buffer,
    at: number,
    block: SharedBlock | undefined,
  ): Promise<void> => {
    if (session.following && block) {
      await session.following.write(block, piece.length, at).catch((error: unknown) => {
        unfollow(session)?.drop()
        asDiskFull(error)
      })
      session.size = at + piece.length
      return
    }
    await writeWhole(handle, piece, at)
    session.size = at + piece.length
    session.following?.advance(session.size)
  }

  const receive = async (session: UploadSession, body: BodySource, most = Infinity): Promise<number> => {
    let handle: FileHandle | undefined
    let early: EarlySync | undefined
    let isFile = session.parts === undefined
    let next = session.size
    const line = createPieceLine()

    const admit = async (bytes: number): Promise<FileHandle> => {
      handle ??= await openUploadFile(session.path)
      early ??= new EarlySync(handle)
      await spill(session, handle)
      await deps.requireRoom(bytes)
      follow(session)
      return handle
    }
    const take = async (piece: Buffer, block: SharedBlock | undefined): Promise<void> => {
      const at = next
      next += piece.length
      isFile ||= next > SMALL_BYTES || heldBytes + piece.length > MAX_HELD_BYTES
      if (!isFile) {
        // A block goes on to the next upload.
        hold(session, block ? Buffer.from(piece) : piece)
        return
      }
      await line.pass(
        () => admit(piece.length),
        // Only what the hash thread writes is written in order by itself.
        () => block !== undefined && session.following !== undefined,
        (file) => append(session, file, piece, at, block),
      )
      early?.wrote(piece.length)
    }
    const close = async (): Promise<void> => {
      try {
        await early?.settled()
      } catch (error) {
        // What the disk refused is not in the file, whatever its size says.
        await cancel(session)
        throw error
      } finally {
        await handle?.close()
        session.touchedMs = system.now()
      }
    }
    let received: number
    try {
      received = await takeBody(body, take, Math.min(most, deps.maxBytes - session.size), deps)
    } catch (error) {
      await close()
      throw error
    }
    await close()
    return received
  }

  const restore = async (
    { id: repositoryId, project_id: projectId }: Owner,
    id: string,
  ): Promise<UploadSession | undefined> => {
    if (!/^[0-9a-f-]{36}$/.test(id)) return undefined
    for (const algorithm of [undefined, ...DIGEST_ALGORITHMS]) {
      const path = tree.upload({ id, repositoryId, algorithm })
      const size = await wholeSizeOf(path, PIECES_TAKEN * BLOCK_BYTES)
      if (size === undefined) continue
      const found = sessions.get(id)
      if (found) return found
      return sessions.add({
        id,
        repositoryId,
        projectId,
        algorithm,
        path,
        size,
        parts: undefined,
        following: undefined,
        isBusy: false,
        touchedMs: system.now(),
      })
    }
    return undefined
  }

  return {
    /** Begins an upload. Throws BUSY when the project has too many. */
    begin: (repository: Owner, algorithm: DigestAlgorithm | undefined): UploadSession => {
      const { id: repositoryId, project_id: projectId } = repository
      if (!sessions.hasRoomFor(projectId)) forgetEmpty(projectId)
      if (!sessions.hasRoomFor(projectId)) throw new AppError('BUSY', { retryAfterSeconds: 10 })
      const id = system.newId()
      return sessions.add({
        id,
        repositoryId,
        projectId,
        algorithm,
        path: tree.upload({ id, repositoryId, algorithm }),
        size: 0,
        parts: [],
        following: undefined,
        isBusy: false,
        touchedMs: system.now(),
      })
    },

    /** The upload of this id in this repository, also one from before a restart. Throws BLOB_UPLOAD_UNKNOWN. */
    require: async (repository: Owner, id: string): Promise<UploadSession> => {
      const session = sessions.get(id) ?? (await restore(repository, id))
      if (session?.repositoryId !== repository.id) throw new AppError('BLOB_UPLOAD_UNKNOWN')
      return session
    },

    /** Does `work` while nobody else may write to the upload. Throws BLOB_UPLOAD_INVALID when somebody does. */
    exclusively: async <T>(session: UploadSession, work: () => Promise<T>): Promise<T> => {
      if (session.isBusy) {
        throw new AppError('BLOB_UPLOAD_INVALID', { message: 'Another request writes to this upload.' })
      }
      session.isBusy = true
      try {
        return await work()
      } finally {
        session.isBusy = false
      }
    },

    /** Adds a body of at most so many bytes at the end; what arrived of one that breaks off stays. Answers how many bytes came. */
    receive,

    /** The digest of all that was received, in the wanted algorithm. */
    digest: async (session: UploadSession, algorithm: DigestAlgorithm): Promise<string> => {
      if (session.parts) return digestOf(algorithm, joined(session.parts))
      const following = unfollow(session)
      if (following?.algorithm === algorithm) return following.finish(session.size)
      following?.drop()
      return hasher.follow(session.path, algorithm).finish(session.size)
    },

    /** Ends the upload whose bytes have been moved elsewhere. */
    forget,

    /** Ends the upload and removes its bytes. */
    cancel,

    /** Whether the file of an upload belongs to one that is alive. */
    find: sessions.get,

    /** Those that nobody is writing to. */
    listIdle: (): UploadSession[] => sessions.list().filter((session) => !session.isBusy),

    count: sessions.count,
  }
}

/** The algorithm of `?digest-algorithm=`. Throws DIGEST_INVALID for one that we do not know. */
export function readAlgorithm(text: string | undefined): DigestAlgorithm | undefined {
  if (text === undefined || text === '') return undefined
  const found = DIGEST_ALGORITHMS.find((algorithm) => algorithm === text)
  if (!found)
    throw new AppError('DIGEST_INVALID', { message: `The algorithm ${text.slice(0, 40)} is not supported.` })
  return found
}
