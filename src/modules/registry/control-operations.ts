import { statfs } from 'node:fs/promises'
import { AppError, isAppError } from '../../lib/errors.ts'
import { type Page, pageOf, type PageRequest } from '../../lib/page.ts'
import { requireUnchanged, type Revised } from '../../lib/revision.ts'
import type { System } from '../../lib/system.ts'
import { createTurns } from '../../lib/turns.ts'
import type { Database } from '../../store/database.ts'
import type { RecordAudit } from '../audit/audit.ts'
import { requirePermission } from '../identity/authorize.ts'
import type { Context } from '../identity/context.ts'
import type { BlobStore } from './blob-store.ts'
import type { CollectionOperations } from './collection-operations.ts'
import type { CollectionStore } from './collection-store.ts'
import type { ManifestOperations } from './manifest-operations.ts'
import type { ManifestStore } from './manifest-store.ts'
import { isDigest } from './registry-path.ts'
import type { RegistryRules } from './registry-rules.ts'
import type {
  CollectionReport,
  ManifestView,
  RegistryRulesBody,
  RegistryRulesView,
  RegistryStatusView,
  RepositoryView,
  TagView,
} from './registry-schema.ts'
import type { RegistryStore, RepositoryRow } from './registry-store.ts'
import type { RuleStore } from './rule-store.ts'
import type { UploadSessions } from './upload-sessions.ts'

export interface ControlDeps {
  database: Database
  system: System
  store: RegistryStore
  blobs: BlobStore
  manifests: ManifestStore
  rules: RegistryRules
  ruleStore: RuleStore
  sessions: UploadSessions
  collection: CollectionOperations
  collections: CollectionStore
  removal: Pick<ManifestOperations, 'removeTag' | 'removeManifest'>
  recordAudit: RecordAudit
  /** Who needs a manifest of the repository now, a line for people each. */
  usersIn: (repository: RepositoryRow) => string[]
  /** Where the disk is looked at. */
  directory: string
}

/** A repository as a path of the API names it. */
export interface RepositoryName {
  project: string
  service: string
}

/** Sums over a repository's rows cost about this much of a turn. */
const SIZE_COST = 16 * 1024
/** And the sum over what one image refers to: mostly little, a millisecond at worst. */
const IMAGE_COST = 4 * 1024

export type ControlOperations = ReturnType<typeof createControlOperations>

/** The registry as the API, the CLI and the web console see it. */
export function createControlOperations(deps: ControlDeps) {
  const { database, system, store, manifests } = deps

  const requireRepository = (
    context: Context,
    { project, service }: RepositoryName,
    permission: 'registry.pull' | 'registry.delete',
  ): RepositoryRow => {
    const repository = store.find(project, service)
    requirePermission(context.actor, permission, repository?.project_id)
    if (!repository) throw new AppError('NOT_FOUND')
    return repository
  }

  const remove = (
    context: Context,
    name: RepositoryName,
    action: string,
    details: Record<string, string>,
    work: (repository: RepositoryRow) => void,
  ): void => {
    database.transact(() => {
      const repository = requireRepository(context, name, 'registry.delete')
      try {
        work(repository)
      } catch (error) {
        throw isAppError(error, 'MANIFEST_UNKNOWN') ? new AppError('NOT_FOUND') : error
      }
      deps.recordAudit(context, {
        action,
        resource_kind: 'repository',
        resource_id: repository.name,
        project_id: repository.project_id,
        details,
      })
    })
  }

  const requireUnused = (repository: RepositoryRow): void => {
    const users = deps.usersIn(repository)
    if (users.length > 0) throw new AppError('IN_USE', { details: users.map((message) => ({ message })) })
    let after: string | undefined
    for (;;) {
      const tags = store.listTags(repository.id, 1000, after)
      for (const { name } of tags) {
        deps.rules.requireMutable(repository, name)
        after = name
      }
      if (tags.length < 1000) return
    }
  }

  const rulesView = (projectId: string): RegistryRulesView & Revised => {
    const { quota_bytes, rules, revision } = deps.rules.rulesOf(projectId)
    return { id: projectId, revision, quota_bytes, rules, used_bytes: store.usedBytes(projectId) }
  }

  return {
    /** The repositories that the caller may pull from, by name. */
    listRepositories: async (context: Context, page: PageRequest): Promise<Page<RepositoryView>> => {
      const { actor } = context
      const visible = actor.visibleProjects()
      const projects = visible === 'all' ? visible : visible.filter((id) => actor.can('registry.pull', id))
      const { items, ...rest } = pageOf(
        store.list(projects, page.limit + 1, page.after),
        page.limit,
        (row) => row.name,
      )
      const turns = createTurns(system, SIZE_COST)
      const views: RepositoryView[] = []
      for (const { id, project_id, name, created_ms, pushed_ms } of items) {
        await turns.take(0)
        views.push({
          name,
          project_id,
          ...store.sizeOf(id),
          created_at: iso(created_ms),
          pushed_at: pushed_ms === null ? null : iso(pushed_ms),
        })
      }
      return { ...rest, items: views }
    },

    /** The tags of a repository, by name. */
    listTags: async (context: Context, name: RepositoryName, page: PageRequest): Promise<Page<TagView>> => {
      const repository = requireRepository(context, name, 'registry.pull')
      const rows = pageOf(
        store.listTags(repository.id, page.limit + 1, page.after),
        page.limit,
        (row) => row.name,
      )
      const turns = createTurns(system, IMAGE_COST)
      const items: TagView[] = []
      for (const { name: tag, digest, updated_ms } of rows.items) {
        await turns.take(0)
        const image = manifests.imageBytes(repository.id, digest)
        items.push({
          name: tag,
          digest,
          updated_at: iso(updated_ms),
          media_type: image?.media_type ?? '',
          size_bytes: image?.image_bytes ?? 0,
        })
      }
      return { ...rows, items }
    },

    /** The manifests of a repository, newest first. */
    listManifests: async (
      context: Context,
      name: RepositoryName,
      page: PageRequest,
    ): Promise<Page<ManifestView>> => {
      const repository = requireRepository(context, name, 'registry.pull')
      const before = page.after === undefined ? null : Number(page.after)
      const rows = manifests.list(repository.id, page.limit + 1, Number.isSafeInteger(before) ? before : null)
      const { items, ...rest } = pageOf(rows, page.limit, (row) => String(row.id))
      const turns = createTurns(system, IMAGE_COST)
      const views: ManifestView[] = []
      for (const row of items) {
        await turns.take(0)
        views.push({
          digest: row.digest,
          media_type: row.media_type,
          artifact_type: row.artifact_type,
          subject: row.subject,
          size_bytes: manifests.imageBytes(repository.id, row.digest)?.image_bytes ?? row.size_bytes,
          created_at: iso(row.created_ms),
          tags: store.tagsOf(row.id),
        })
      }
      return { ...rest, items: views }
    },

    /** Removes a repository with all that is in it. Throws IN_USE, TAG_IMMUTABLE. */
    deleteRepository: (context: Context, name: RepositoryName): void =>
      remove(context, name, 'deleteRepository', {}, (repository) => {
        requireUnused(repository)
        store.remove(repository.id)
      }),

    /** Removes a tag; the manifest stays. Throws IN_USE, TAG_IMMUTABLE. */
    deleteTag: (context: Context, name: RepositoryName, tag: string): void =>
      remove(context, name, 'deleteTag', { tag }, (repository) => deps.removal.removeTag(repository, tag)),

    /** Removes a manifest with its tags. Throws IN_USE, TAG_IMMUTABLE. */
    deleteManifest: (context: Context, name: RepositoryName, digest: string): void => {
      if (!isDigest(digest)) throw new AppError('NOT_FOUND')
      remove(context, name, 'deleteManifest', { digest }, (repository) =>
        deps.removal.removeManifest(repository, digest),
      )
    },

    /** What the registry holds and how full the disk is. */
    getStatus: async (): Promise<RegistryStatusView> => {
      const { blobs, bytes, corrupt } = deps.blobs.totals()
      const { bavail, blocks, bsize } = await statfs(deps.directory)
      return {
        repositories: store.count(),
        manifests: manifests.count(),
        blobs,
        size_bytes: bytes,
        corrupt_blobs: corrupt,
        open_uploads: deps.sessions.count(),
        disk_free_bytes: bavail * bsize,
        disk_total_bytes: blocks * bsize,
        last_collection: deps.collections.last() ?? null,
      }
    },

    /** Collects now. Throws CONFLICT when a collection is running. */
    collect: async (context: Context, dryRun: boolean, signal: AbortSignal): Promise<CollectionReport> => {
      const report = await deps.collection.collect({ dryRun }, signal)
      if (!dryRun) {
        const { deleted_blobs, deleted_manifests, freed_bytes } = report
        deps.recordAudit(context, {
          action: 'collectRegistry',
          resource_kind: 'registry',
          details: { deleted_blobs, deleted_manifests, freed_bytes },
        })
      }
      return report
    },

    /** Quota and rules of a project. */
    getRules: (context: Context, projectId: string): RegistryRulesView & Revised => {
      requirePermission(context.actor, 'registry.pull', projectId)
      return rulesView(projectId)
    },

    /** Replaces quota and rules; what is there already is not touched but for what the next collection removes. */
    replaceRules: (
      context: Context,
      projectId: string,
      body: RegistryRulesBody,
    ): RegistryRulesView & Revised => {
      requirePermission(context.actor, 'registry.delete', projectId)
      database.transact(() => {
        requireUnchanged(context, rulesView(projectId))
        deps.ruleStore.put(projectId, body, system.now())
        deps.recordAudit(context, {
          action: 'replaceRegistryRules',
          resource_kind: 'registry',
          resource_id: projectId,
          project_id: projectId,
          details: { quota_bytes: body.quota_bytes, rules: body.rules.length },
        })
      })
      return rulesView(projectId)
    },
  }
}

function iso(ms: number): string {
  return new Date(ms).toISOString()
}
