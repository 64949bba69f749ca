import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { AppError, messageOf, systemCodeOf } from '../../lib/errors.ts'
import type { System } from '../../lib/system.ts'
import type { BlobStore } from './blob-store.ts'
import type { CollectionStore, UntaggedManifest } from './collection-store.ts'
import type { CommitQueue } from './commit-queue.ts'
import type { ContentCache } from './content-cache.ts'
import type { KeyedLock } from './keyed-lock.ts'
import type { ManifestStore } from './manifest-store.ts'
import type { CollectionReport } from './registry-schema.ts'
import type { RegistryRules } from './registry-rules.ts'
import type { RegistryStore, RepositoryRow, TagRow } from './registry-store.ts'
import { parseUploadFile, type RegistryTree } from './registry-tree.ts'
import { matchesPattern } from './tag-pattern.ts'
import { removeFile } from './upload-file.ts'
import type { UploadSessions } from './upload-sessions.ts'

export interface CollectionDeps {
  system: System
  store: RegistryStore
  blobs: BlobStore
  manifests: ManifestStore
  collections: CollectionStore
  queue: CommitQueue
  cache: ContentCache
  locks: KeyedLock
  tree: RegistryTree
  sessions: UploadSessions
  rules: RegistryRules
  usersOf: (repository: RepositoryRow, digest: string) => string[]
  /** What was pushed, mounted or asked for within this time stays. */
  graceMs: number
  uploadTtlMs: number
  onProblem: (problem: string, details: Record<string, unknown>) => void
}

export interface CollectionOperations {
  /** Removes what nothing needs, while pushes go on; with `dryRun` only tells. Throws CONFLICT when one runs already. */
  collect(options: { dryRun: boolean }, signal: AbortSignal): Promise<CollectionReport>
}

const BATCH = 100
/** Ids that are looked at in one go: a few milliseconds. */
const WINDOW = 500
const MAX_PROBLEMS = 50
const DAY_MS = 86_400_000

/** The online collection: rules first, then blobs, then files that a crash left. */
export function createCollectionOperations(deps: CollectionDeps): CollectionOperations {
  let isRunning = false
  return {
    collect: async ({ dryRun }, signal) => {
      if (isRunning) throw new AppError('CONFLICT', { message: 'A collection is running already.' })
      isRunning = true
      try {
        return await new Collection(deps, dryRun, signal).run()
      } finally {
        isRunning = false
      }
    },
  }
}

class Collection {
  readonly #deps: CollectionDeps
  readonly #signal: AbortSignal
  readonly #report: CollectionReport
  readonly #beforeMs: number

  constructor(deps: CollectionDeps, dryRun: boolean, signal: AbortSignal) {
    this.#deps = deps
    this.#signal = signal
    this.#beforeMs = deps.system.now() - deps.graceMs
    this.#report = {
      dry_run: dryRun,
      started_at: deps.system.nowIso(),
      duration_ms: 0,
      scanned_blobs: 0,
      deleted_blobs: 0,
      deleted_manifests: 0,
      deleted_tags: 0,
      expired_uploads: 0,
      removed_files: 0,
      freed_bytes: 0,
      problems: [],
    }
  }

  async run(): Promise<CollectionReport> {
    const { system, collections, queue } = this.#deps
    const startedAt = system.monotonic()
    const id = system.newId()
    const isKept = !this.#report.dry_run
    if (isKept) await queue.commit(() => collections.begin(id, system.now()))
    await this.#applyRules()
    await this.#expireUploads()
    await this.#sweepBlobs()
    await this.#sweepFiles()
    this.#report.duration_ms = Math.round(system.monotonic() - startedAt)
    if (isKept) await queue.commit(() => collections.finish(id, this.#report, system.now()))
    return this.#report
  }

  /** One thing that cannot be collected is told of and left; it is never the end of the sweep. */
  async #attempt(what: string, work: () => Promise<void>): Promise<void> {
    this.#signal.throwIfAborted()
    try {
      await work()
    } catch (error) {
      this.#deps.onProblem('the collection skipped something', { what, err: error })
      if (this.#report.problems.length < MAX_PROBLEMS)
        this.#report.problems.push(`${what}: ${messageOf(error)}`)
    }
  }

  async #applyRules(): Promise<void> {
    let after = ''
    for (;;) {
      const page = this.#deps.store.list('all', BATCH, after)
      for (const repository of page) {
        await this.#attempt(repository.name, () => this.#applyTo(repository))
        after = repository.name
      }
      if (page.length < BATCH) return
      await this.#deps.system.sleep(0, this.#signal)
    }
  }

  async #applyTo(repository: RepositoryRow): Promise<void> {
    for (const rule of this.#deps.rules.rulesFor(repository)) {
      if (rule.retain) await this.#retain(repository, rule.retain)
      if (rule.keep_untagged_days !== undefined)
        await this.#removeUntagged(repository, rule.keep_untagged_days * DAY_MS)
    }
  }

  async #retain(
    repository: RepositoryRow,
    { tags, keep_last = 0, keep_days = 0 }: { tags: string[]; keep_last?: number; keep_days?: number },
  ): Promise<void> {
    const { store, system, queue, rules, usersOf } = this.#deps
    const all = this.#allTags(repository).filter((tag) => tags.some((each) => matchesPattern(each, tag.name)))
    const old = all
      .toSorted((one, other) => other.updated_ms - one.updated_ms)
      .slice(keep_last)
      .filter((tag) => tag.updated_ms < Math.min(this.#beforeMs, system.now() - keep_days * DAY_MS))
    for (const tag of old) {
      if (rules.isImmutable(repository, tag.name) || usersOf(repository, tag.digest).length > 0) continue
      this.#report.deleted_tags += 1
      if (this.#report.dry_run) continue
      await queue.commit(() => {
        if (store.findTag(repository.id, tag.name)?.updated_ms === tag.updated_ms)
          store.removeTag(repository.id, tag.name)
      })
    }
  }

  #allTags(repository: RepositoryRow): TagRow[] {
    const all: TagRow[] = []
    for (;;) {
      const page = this.#deps.store.listTags(repository.id, BATCH * 10, all.at(-1)?.name)
      all.push(...page)
      if (page.length < BATCH * 10) return all
    }
  }

  async #removeUntagged(repository: RepositoryRow, ageMs: number): Promise<void> {
    const { collections, system, queue, usersOf } = this.#deps
    const beforeMs = Math.min(this.#beforeMs, system.now() - ageMs)
    const removeSome = async (fresh: readonly UntaggedManifest[]): Promise<number> => {
      let removed = 0
      for (const { id, digest, size_bytes } of fresh) {
        if (usersOf(repository, digest).length > 0) continue
        if (!this.#report.dry_run && !(await queue.commit(() => collections.removeUntagged(id, beforeMs))))
          continue
        removed += 1
        this.#report.deleted_manifests += 1
        this.#report.freed_bytes += size_bytes
      }
      return removed
    }
    let removed: number
    do {
      removed = 0
      let after: string | undefined = ''
      while (after !== undefined) {
        const upTo = collections.windowEnd(repository.id, after, WINDOW)
        removed += await removeSome(collections.untaggedManifests(repository.id, beforeMs, after, upTo))
        await system.sleep(0, this.#signal)
        after = upTo
      }
      // A removed index makes its children untagged.
    } while (removed > 0 && !this.#report.dry_run)
  }

  async #expireUploads(): Promise<void> {
    const { sessions, store, system, uploadTtlMs, tree } = this.#deps
    const idleSince = system.now() - uploadTtlMs
    const isGone = (repositoryId: number): boolean => store.findById(repositoryId) === undefined
    for (const session of sessions.listIdle()) {
      // Somebody may have gone on with it since the list was made.
      if (session.isBusy || (session.touchedMs >= idleSince && !isGone(session.repositoryId))) continue
      this.#report.expired_uploads += 1
      this.#report.freed_bytes += session.size
      if (!this.#report.dry_run) await this.#attempt(session.id, () => sessions.cancel(session))
    }
    for (const name of await readdir(tree.uploads)) {
      const upload = parseUploadFile(name)
      if (upload && sessions.find(upload.id)) continue
      await this.#attempt(name, async () => {
        const path = join(tree.uploads, name)
        const { mtimeMs, size } = await stat(path)
        if (mtimeMs >= idleSince && !(upload && isGone(upload.repositoryId))) return
        this.#report.expired_uploads += 1
        this.#report.freed_bytes += size
        if (!this.#report.dry_run && !(upload && sessions.find(upload.id))) await removeFile(path)
      })
    }
  }

  async #sweepBlobs(): Promise<void> {
    const { collections, queue } = this.#deps
    this.#report.scanned_blobs = collections.countBlobs()
    const lastId = collections.lastBlobId()
    for (let fromId = 1; fromId <= lastId; fromId += WINDOW) {
      const toId = fromId + WINDOW - 1
      for (const blob of collections.unusedBlobs(this.#beforeMs, fromId, toId))
        await this.#attempt(blob.digest, () => this.#removeBlob(blob))
      if (!this.#report.dry_run)
        await queue.commit(() => collections.removeIdleLinks(this.#beforeMs, fromId, toId))
      await this.#deps.system.sleep(0, this.#signal)
    }
  }

  async #removeBlob(blob: { digest: string; size_bytes: number; inline: 0 | 1 }): Promise<void> {
    const { collections, queue, locks, tree, cache } = this.#deps
    const count = (): void => {
      this.#report.deleted_blobs += 1
      this.#report.freed_bytes += blob.size_bytes
    }
    if (this.#report.dry_run) {
      count()
      return
    }
    await locks.hold(blob.digest, async () => {
      const isRemoved = await queue.commit(() => collections.removeUnusedBlob(blob.digest, this.#beforeMs))
      if (!isRemoved) return
      cache.delete(blob.digest)
      // After the row: a crash between the two leaves a file that nobody knows, never a row without a file.
      if (blob.inline === 0) {
        await removeFile(tree.blob(blob.digest))
        await removeFile(tree.quarantined(blob.digest))
      }
      count()
    })
  }

  /** Files without a row: what a crash left between the two, or while a push was under way. */
  async #sweepFiles(): Promise<void> {
    const { tree, blobs, locks, system } = this.#deps
    for (const { algorithm, directory } of tree.shards) {
      this.#signal.throwIfAborted()
      const names = await listNames(directory)
      if (names.length === 0) continue
      for (const hex of names) {
        const digest = `${algorithm}:${hex}`
        if (blobs.find(digest)?.inline === 0) continue
        await this.#attempt(digest, () =>
          locks.hold(digest, async () => {
            if (blobs.find(digest)?.inline === 0) return
            this.#report.removed_files += 1
            if (!this.#report.dry_run) await removeFile(join(directory, hex))
          }),
        )
      }
      await system.sleep(0, this.#signal)
    }
  }
}

async function listNames(directory: string): Promise<string[]> {
  try {
    return await readdir(directory)
  } catch (error) {
    if (systemCodeOf(error) === 'ENOENT') return []
    throw error
  }
}
