import { AppError } from '../../lib/errors.ts'
import type { BlobKeeper } from './blob-keeper.ts'
import type { BlobRow, BlobStore } from './blob-store.ts'
import { parseChunkRange } from './byte-range.ts'
import type { Caller } from './caller.ts'
import type { CommitQueue } from './commit-queue.ts'
import { joined } from '../../lib/joined.ts'
import type { System } from '../../lib/system.ts'
import { emptyAnswer, type RegistryAnswer } from './registry-answer.ts'
import { algorithmOf, isDigest, isRepositoryName } from './registry-path.ts'
import { announcedLength, type RegistryRequest } from './registry-request.ts'
import type { RegistryRules } from './registry-rules.ts'
import type { RegistryStore, RepositoryRow } from './registry-store.ts'
import type { RepositoryAccess } from './repository-access.ts'
import { sizeOf } from './upload-file.ts'
import { readAlgorithm, type UploadSession, type UploadSessions } from './upload-sessions.ts'

export interface UploadDeps {
  system: System
  access: RepositoryAccess
  store: RegistryStore
  blobs: BlobStore
  keeper: BlobKeeper
  queue: CommitQueue
  sessions: UploadSessions
  rules: RegistryRules
  maxBytes: number
}

/** What no further request could mend. */
const ENDS_UPLOAD = new Set(['DIGEST_INVALID', 'QUOTA_EXCEEDED', 'NAME_UNKNOWN'])

export type UploadOperations = ReturnType<typeof createUploadOperations>

/** Pushing blobs (distribution specification, "Pushing blobs"). */
export function createUploadOperations(deps: UploadDeps) {
  const { access, blobs, keeper, sessions } = deps

  const created = (name: string, digest: string, warning?: string): RegistryAnswer =>
    emptyAnswer(201, {
      Location: `/v2/${name}/blobs/${digest}`,
      'Docker-Content-Digest': digest,
      ...(warning !== undefined && { Warning: warning }),
    })

  const progress = (status: number, name: string, session: UploadSession): RegistryAnswer =>
    emptyAnswer(status, {
      Location: `/v2/${name}/blobs/uploads/${session.id}`,
      'Docker-Upload-UUID': session.id,
      Range: `0-${Math.max(0, session.size - 1)}`,
    })

  const readDigest = (text: string | null): string => {
    if (text === null || !isDigest(text)) throw new AppError('DIGEST_INVALID')
    return text
  }

  /** The repository to mount from: the one that is named, or any that the caller may pull from. */
  const sourceOf = (caller: Caller, from: string | null, digest: string): BlobRow | undefined => {
    const named = from === null || from === '' ? undefined : [from]
    const within = named ? { repositories: named } : caller.pullsFrom()
    if ('projects' in within) {
      const source = blobs.repositoryWith(digest, within.projects)
      return source === undefined ? undefined : blobs.findIn(source, digest)
    }
    for (const name of within.repositories.filter((each) => isRepositoryName(each))) {
      const slash = name.indexOf('/')
      const source = deps.store.find(name.slice(0, slash), name.slice(slash + 1))
      const blob = source && caller.allows('pull', source) ? blobs.findIn(source.id, digest) : undefined
      if (blob?.corrupt === 0) return blob
    }
    return undefined
  }

  /** The answer to a mount; undefined when there is nothing to mount. */
  const mount = async (
    { caller, query }: RegistryRequest,
    target: RepositoryRow,
    digest: string,
  ): Promise<RegistryAnswer | undefined> =>
    deps.queue.commit(() => {
      access.requireStill(target)
      const blob = sourceOf(caller, query.get('from'), digest)
      if (!blob) return undefined
      const warning = deps.rules.requireQuota(target, { digest, size_bytes: blob.size_bytes })
      blobs.link(target.id, digest, deps.system.now())
      return created(target.name, digest, warning)
    })

  const receive = async (request: RegistryRequest, session: UploadSession): Promise<void> => {
    const announced = announcedLength(request)
    if ((announced ?? 0) + session.size > deps.maxBytes) throw new AppError('PAYLOAD_TOO_LARGE')
    const range = request.header('content-range')
    const chunk = range === undefined ? undefined : parseChunkRange(range)
    if (range !== undefined && (!chunk || chunk.start !== session.size || chunk.last < chunk.start))
      throw new AppError('RANGE_INVALID', { cause: { session } })
    const length = chunk && chunk.last - chunk.start + 1
    if (length !== undefined && announced !== undefined && announced !== length)
      throw new AppError('SIZE_INVALID')
    const received = await sessions.receive(session, request.body, length)
    if (length !== undefined && received !== length) throw new AppError('SIZE_INVALID')
  }

  /** Makes a blob of what was received. Whatever goes wrong with the bytes themselves ends the upload. */
  const close = async (
    repository: RepositoryRow,
    session: UploadSession,
    digest: string,
  ): Promise<string | undefined> => {
    try {
      const found = await sessions.digest(session, algorithmOf(digest))
      if (found !== digest) {
        throw new AppError('DIGEST_INVALID', { message: `The content has the digest ${found}.` })
      }
      const admit = (): string | undefined => {
        access.requireStill(repository)
        return deps.rules.requireQuota(repository, { digest, size_bytes: session.size })
      }
      const warning = admit()
      if (session.parts) await keeper.putContent(repository.id, digest, joined(session.parts), admit)
      else await keeper.putFile(repository.id, digest, session, admit)
      sessions.forget(session)
      return warning
    } catch (error) {
      if (error instanceof AppError && ENDS_UPLOAD.has(error.code)) await sessions.cancel(session)
      // Neither half-way: a client that goes on would be told of bytes that are not there.
      else if (!session.parts && (await sizeOf(session.path)) === undefined) await sessions.cancel(session)
      throw error
    }
  }

  const requireSession = async (request: RegistryRequest, name: string, id: string) => {
    const repository = access.require(request.caller, name, 'push')
    return { repository, session: await sessions.require(repository, id) }
  }

  return {
    /** POST: mounts, takes a whole blob, or begins an upload. */
    beginUpload: async (request: RegistryRequest, name: string): Promise<RegistryAnswer> => {
      const { query } = request
      const digest = query.get('digest')
      if (digest !== null) readDigest(digest)
      const wanted = query.get('mount')
      const algorithm = readAlgorithm(query.get('digest-algorithm') ?? undefined)
      const repository = await access.ensure(request.caller, name)
      const mounted = wanted === null ? undefined : await mount(request, repository, readDigest(wanted))
      if (mounted) return mounted
      const session = sessions.begin(repository, digest === null ? algorithm : algorithmOf(digest))
      if (digest === null || wanted !== null) return progress(202, name, session)
      return sessions.exclusively(session, async () => {
        try {
          await receive(request, session)
          return created(name, digest, await close(repository, session, digest))
        } catch (error) {
          await sessions.cancel(session)
          throw error
        }
      })
    },

    /** PATCH: one more part. */
    continueUpload: async (request: RegistryRequest, name: string, id: string): Promise<RegistryAnswer> => {
      const { session } = await requireSession(request, name, id)
      return sessions.exclusively(session, async () => {
        await receive(request, session)
        return progress(202, name, session)
      })
    },

    /** PUT: the last part, if there is one, and the digest. */
    finishUpload: async (request: RegistryRequest, name: string, id: string): Promise<RegistryAnswer> => {
      const digest = readDigest(request.query.get('digest'))
      const { repository, session } = await requireSession(request, name, id)
      return sessions.exclusively(session, async () => {
        await receive(request, session)
        return created(name, digest, await close(repository, session, digest))
      })
    },

    /** GET: how far it is. */
    getUpload: async (request: RegistryRequest, name: string, id: string): Promise<RegistryAnswer> => {
      const { session } = await requireSession(request, name, id)
      return progress(204, name, session)
    },

    /** DELETE: gives it up. */
    cancelUpload: async (request: RegistryRequest, name: string, id: string): Promise<RegistryAnswer> => {
      const { session } = await requireSession(request, name, id)
      await sessions.exclusively(session, () => sessions.cancel(session))
      return emptyAnswer(204)
    },
  }
}
