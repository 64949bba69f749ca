import type { SharedBlock, SharedBlocks } from '../../lib/shared-blocks.ts'
import { joined } from '../../lib/joined.ts'
import type { System } from '../../lib/system.ts'
import { AppError } from '../../lib/errors.ts'
import type { RecordAudit } from '../audit/audit.ts'
import { matchesTag } from './blob-operations.ts'
import type { BlobStore } from './blob-store.ts'
import type { CommitQueue } from './commit-queue.ts'
import type { ContentCache } from './content-cache.ts'
import { digestOf } from './digest.ts'
import { despiteFullDisk } from './disk-room.ts'
import { type ManifestDocument, parseManifest } from './manifest-document.ts'
import type { ManifestHead, ManifestStore } from './manifest-store.ts'
import { emptyAnswer, type RegistryAnswer } from './registry-answer.ts'
import { algorithmOf, isDigest, isTag } from './registry-path.ts'
import { announcedLength, type RegistryRequest } from './registry-request.ts'
import type { RegistryRules } from './registry-rules.ts'
import type { RegistryStore, RepositoryRow } from './registry-store.ts'
import { takeBody } from './request-body.ts'
import type { RepositoryAccess } from './repository-access.ts'

export interface ManifestDeps {
  system: System
  blocks: SharedBlocks
  access: RepositoryAccess
  store: RegistryStore
  manifests: ManifestStore
  blobs: BlobStore
  queue: CommitQueue
  cache: ContentCache
  rules: RegistryRules
  recordAudit: RecordAudit
  /** Who needs this manifest now, a line each: a release, a running replica. */
  usersOf: (repository: RepositoryRow, digest: string) => string[]
  touchEveryMs: number
  /** Called after a commit that made or moved a tag. */
  tagged: () => void
}

/** What registries accept by custom, and clients do not exceed. */
const MAX_MANIFEST_BYTES = 8 * 1024 ** 2
const MAX_TAGS = 50

export type ManifestOperations = ReturnType<typeof createManifestOperations>

/** Pulling, pushing and deleting manifests. */
export function createManifestOperations(deps: ManifestDeps) {
  const { system, access, store, manifests, queue, cache } = deps

  const find = (repository: RepositoryRow, reference: string): ManifestHead | undefined => {
    if (!reference.includes(':'))
      return isTag(reference) ? manifests.findByTag(repository.id, reference) : undefined
    if (!isDigest(reference)) throw new AppError('DIGEST_INVALID')
    return manifests.findByDigest(repository.id, reference)
  }
  const requireManifest = (repository: RepositoryRow, reference: string): ManifestHead => {
    const found = find(repository, reference)
    if (!found) throw new AppError('MANIFEST_UNKNOWN')
    return found
  }
  const contentOf = (manifest: ManifestHead): Buffer => {
    const cached = cache.get(manifest.digest)
    if (cached) return cached
    const content = manifests.content(manifest.id)
    if (!content) throw new AppError('MANIFEST_UNKNOWN')
    if (digestOf(algorithmOf(manifest.digest), content) !== manifest.digest)
      throw new AppError('BLOB_CORRUPT')
    cache.set(manifest.digest, content)
    return content
  }
  const touch = async (request: RegistryRequest, repository: RepositoryRow, manifest: ManifestHead) => {
    const now = system.now()
    if (now - manifest.touched_ms < deps.touchEveryMs || !request.caller.allows('push', repository)) return
    const note = queue.commit(() => {
      manifests.touch(requireManifest(repository, manifest.digest).id, now)
    })
    await note.catch(despiteFullDisk)
  }

  const readBody = async (request: RegistryRequest): Promise<Buffer> => {
    if ((announcedLength(request) ?? 0) > MAX_MANIFEST_BYTES) throw new AppError('PAYLOAD_TOO_LARGE')
    const pieces: Buffer[] = []
    // A copy of what is on loan.
    const keep = async (piece: Buffer, block?: SharedBlock): Promise<void> =>
      void pieces.push(block ? Buffer.from(piece) : piece)
    await takeBody(request.body, keep, MAX_MANIFEST_BYTES, deps)
    return joined(pieces)
  }

  const readTags = (request: RegistryRequest, reference: string): string[] => {
    const tags = reference.includes(':') ? request.query.getAll('tag') : [reference]
    if (tags.length > MAX_TAGS || !tags.every((tag) => isTag(tag))) throw new AppError('TAG_INVALID')
    return [...new Set(tags)]
  }

  const setTags = (
    repository: RepositoryRow,
    { id, digest }: { id: number; digest: string },
    tags: readonly string[],
    own: boolean,
  ): void => {
    for (const tag of tags) {
      const present = store.findTag(repository.id, tag)
      if (present !== undefined && present.digest !== digest) deps.rules.requireMutable(repository, tag)
      store.setTag(repository.id, tag, id, { own, nowMs: system.now() })
    }
  }

  const keepInline = (repository: RepositoryRow, { inline }: ManifestDocument): void => {
    for (const { digest, content } of inline) {
      if (deps.blobs.findIn(repository.id, digest)?.corrupt === 0) continue
      const there = deps.blobs.find(digest)
      if (there === undefined || there.corrupt === 1)
        deps.blobs.put({ digest, size_bytes: content.length, content, stamp: null }, system.now())
      deps.blobs.link(repository.id, digest, system.now())
    }
  }

  const requireUnused = (repository: RepositoryRow, digest: string): void => {
    const users = deps.usersOf(repository, digest)
    if (users.length > 0) throw new AppError('IN_USE', { details: users.map((message) => ({ message })) })
  }

  /**
   * Bytes that do not name their own type may be pushed again as another one, which changes what clients get: not of an image that a release or a
   * rule keeps as it is.
   */
  const requireSameType = (repository: RepositoryRow, digest: string, type: string): void => {
    const present = manifests.findByDigest(repository.id, digest)
    if (!present || present.media_type === type) return
    requireUnused(repository, digest)
    for (const tag of store.tagsOf(present.id)) deps.rules.requireMutable(repository, tag)
  }

  const save = (
    request: RegistryRequest,
    repository: RepositoryRow,
    pushed: { digest: string; content: Buffer; document: ManifestDocument; tags: string[] },
  ): string | undefined => {
    const { digest, content, document, tags } = pushed
    access.requireStill(repository)
    requireSameType(repository, digest, document.media_type)
    const missing = deps.blobs.missingFrom(repository.id, document.required)
    if (missing.length > 0) {
      const details = missing.slice(0, 20).map((each) => ({ message: each }))
      throw new AppError('MANIFEST_BLOB_UNKNOWN', { details })
    }
    const warning = deps.rules.requireQuota(repository, { digest, size_bytes: content.length })
    keepInline(repository, document)
    const { media_type, subject, artifact_type, annotations, edges } = document
    const id = manifests.put(
      {
        repository_id: repository.id,
        digest,
        media_type,
        size_bytes: content.length,
        subject,
        artifact_type,
        annotations,
        content,
      },
      edges,
      system.now(),
    )
    setTags(repository, { id, digest }, tags, request.caller.context.actor.via === 'system')
    store.touch(repository.id, system.now())
    deps.recordAudit(request.caller.context, {
      action: 'pushManifest',
      resource_kind: 'repository',
      resource_id: repository.name,
      project_id: repository.project_id,
      details: { digest, tags },
    })
    return warning
  }

  /** Inside a transaction: removes a tag. Throws MANIFEST_UNKNOWN, TAG_IMMUTABLE, IN_USE. */
  const removeTag = (repository: RepositoryRow, tag: string): void => {
    const present = store.findTag(repository.id, tag)
    if (!present) throw new AppError('MANIFEST_UNKNOWN')
    deps.rules.requireMutable(repository, tag)
    requireUnused(repository, present.digest)
    store.removeTag(repository.id, tag)
  }

  /** Inside a transaction: removes a manifest with its tags. Throws as `removeTag` does. */
  const removeManifest = (repository: RepositoryRow, digest: string): void => {
    const manifest = manifests.findByDigest(repository.id, digest)
    if (!manifest) throw new AppError('MANIFEST_UNKNOWN')
    for (const tag of store.tagsOf(manifest.id)) deps.rules.requireMutable(repository, tag)
    requireUnused(repository, digest)
    manifests.remove(manifest.id)
  }

  return {
    removeTag,
    removeManifest,

    /** A manifest by tag or digest, the very bytes that were pushed. */
    getManifest: async (
      request: RegistryRequest,
      name: string,
      reference: string,
    ): Promise<RegistryAnswer> => {
      const repository = access.require(request.caller, name, 'pull')
      const manifest = requireManifest(repository, reference)
      const headers = {
        'Content-Type': manifest.media_type,
        'Content-Length': manifest.size_bytes,
        'Docker-Content-Digest': manifest.digest,
        ETag: `"${manifest.digest}"`,
        'Cache-Control': reference.includes(':') ? 'private, max-age=31536000, immutable' : 'no-cache',
      }
      if (request.method === 'HEAD') await touch(request, repository, manifest)
      if (matchesTag(request.header('if-none-match'), manifest.digest)) {
        const { 'Content-Length': _, ...rest } = headers
        return { status: 304, headers: rest }
      }
      if (request.method === 'HEAD') return { status: 200, headers }
      return { status: 200, headers, body: contentOf(manifest) }
    },

    /** Stores a manifest under a tag or a digest, once all blobs that it needs are here. */
    putManifest: async (
      request: RegistryRequest,
      name: string,
      reference: string,
    ): Promise<RegistryAnswer> => {
      const tags = readTags(request, reference)
      if (reference.includes(':') && !isDigest(reference)) throw new AppError('DIGEST_INVALID')
      const repository = await access.ensure(request.caller, name)
      const content = await readBody(request)
      const algorithm = reference.includes(':') ? algorithmOf(reference) : 'sha256'
      const digest = digestOf(algorithm, content)
      if (reference.includes(':') && reference !== digest)
        throw new AppError('DIGEST_INVALID', { message: `The content has the digest ${digest}.` })
      const document = parseManifest(content, request.header('content-type'))
      const warning = await queue.commit(() => save(request, repository, { digest, content, document, tags }))
      cache.set(digest, content)
      if (tags.length > 0) deps.tagged()
      return emptyAnswer(201, {
        Location: `/v2/${name}/manifests/${digest}`,
        'Docker-Content-Digest': digest,
        ...(document.subject !== null && { 'OCI-Subject': document.subject }),
        ...(reference.includes(':') && tags.length > 0 && { 'OCI-Tag': tags }),
        ...(warning !== undefined && { Warning: warning }),
      })
    },

    /** Removes a tag, or a manifest with all its tags. */
    deleteManifest: async (
      request: RegistryRequest,
      name: string,
      reference: string,
    ): Promise<RegistryAnswer> => {
      const repository = access.require(request.caller, name, 'delete')
      requireManifest(repository, reference)
      await queue.commit(() => {
        if (reference.includes(':')) removeManifest(repository, reference)
        else removeTag(repository, reference)
        deps.recordAudit(request.caller.context, {
          action: 'deleteManifest',
          resource_kind: 'repository',
          resource_id: name,
          project_id: repository.project_id,
          details: { reference },
        })
      })
      return emptyAnswer(202)
    },
  }
}
