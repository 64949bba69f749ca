import { AppError, isAppError } from '../../lib/errors.ts'
import { MEDIA_TYPES } from './manifest-document.ts'
import type { System } from '../../lib/system.ts'
import { createTurns } from '../../lib/turns.ts'
import type { ReferrerRow, ManifestStore } from './manifest-store.ts'
import { jsonAnswer, type RegistryAnswer } from './registry-answer.ts'
import { isDigest } from './registry-path.ts'
import { MAX_LIST, nextLink, readListQuery, type RegistryRequest } from './registry-request.ts'
import type { RegistryStore, RepositoryRow } from './registry-store.ts'
import { InsufficientScope, type RepositoryAccess } from './repository-access.ts'

export interface ListingDeps {
  system: System
  access: RepositoryAccess
  store: RegistryStore
  manifests: ManifestStore
}

/** A descriptor in a list of referrers. */
interface Descriptor {
  mediaType: string
  digest: string
  size: number
  artifactType?: string
  annotations?: Record<string, string>
}

/** An answer must not be larger than a manifest may be. */
const MAX_REFERRERS_BYTES = 2 * 1024 ** 2
/** Those of other types cost as much to look at: beyond so many the next request goes on. */
const MAX_REFERRERS_SEEN = 5000
/** What a row costs of a turn. */
const ROW_COST = 200
/** An index that an older client left under a tag: as many of its entries are looked at. */
const MAX_FALLBACK_ENTRIES = 1000

export type ListingOperations = ReturnType<typeof createListingOperations>

/** Content discovery: tags, referrers, the catalogue. */
export function createListingOperations(deps: ListingDeps) {
  const { access, store, manifests } = deps

  /** Before there was a referrers API, clients kept an index under a tag made of the algorithm and the first 64 digits of the subject's digest. */
  const fallback = (repository: RepositoryRow, subject: string): Descriptor[] => {
    const [algorithm = '', encoded = ''] = subject.split(':')
    const tagged = manifests.findByTag(repository.id, `${algorithm}-${encoded.slice(0, 64)}`)
    if (tagged?.media_type !== MEDIA_TYPES.index) return []
    const content = manifests.content(tagged.id)
    const index = content && (JSON.parse(content.toString()) as { manifests?: Descriptor[] })
    return (index?.manifests ?? [])
      .slice(0, MAX_FALLBACK_ENTRIES)
      .filter((each) => manifests.findByDigest(repository.id, each.digest) !== undefined)
  }

  /** A subject's referrers behind `after`, a bounded number, in the order of their digests, and the digest to go on from where there may be more. */
  const referrersOf = async (
    repository: RepositoryRow,
    subject: string,
    wanted: { type: string | null; n: number; after: string },
  ): Promise<{ descriptors: Descriptor[]; last: string | undefined }> => {
    const found = new Map<string, Descriptor>()
    for (const each of fallback(repository, subject))
      if (each.digest > wanted.after) found.set(each.digest, each)
    const turns = createTurns(deps.system, ROW_COST)
    let after = wanted.after
    let isWhole = false
    let bytes = 0
    let seen = 0
    let matched = 0
    while (!isWhole && matched <= wanted.n && bytes < MAX_REFERRERS_BYTES && seen < MAX_REFERRERS_SEEN) {
      const rows = manifests.referrers(repository.id, subject, PAGE, after)
      isWhole = rows.length < PAGE
      for (const row of rows) {
        const size = row.annotation_bytes ?? 0
        if (bytes + size > MAX_REFERRERS_BYTES && bytes > 0) {
          isWhole = false
          bytes = MAX_REFERRERS_BYTES
          break
        }
        await turns.take(size)
        bytes += size
        seen += 1
        after = row.digest
        found.delete(row.digest)
        if (wanted.type !== null && row.artifact_type !== wanted.type) continue
        found.set(row.digest, descriptorOf(row, size > 0 ? manifests.annotations(row.id) : null))
        matched += 1
      }
    }
    const all = [...found.values()]
      .filter((each) => wanted.type === null || each.artifactType === wanted.type)
      .filter((each) => isWhole || each.digest <= after)
      .toSorted((one, other) => (one.digest < other.digest ? -1 : 1))
    if (all.length <= wanted.n) return { descriptors: all, last: isWhole ? undefined : after }
    const descriptors = all.slice(0, wanted.n)
    return { descriptors, last: descriptors.at(-1)?.digest }
  }

  /** The repository; none for a name that is unknown or hidden: clients take a 404 for a registry without this API. */
  const findForReferrers = (request: RegistryRequest, name: string): RepositoryRow | undefined => {
    try {
      return access.find(request.caller, name, 'pull')
    } catch (error) {
      if (isAppError(error, 'NAME_UNKNOWN')) return undefined
      throw error
    }
  }

  return {
    /** The tags of a repository in the order of their bytes. */
    listTags: async (request: RegistryRequest, name: string): Promise<RegistryAnswer> => {
      const repository = access.require(request.caller, name, 'pull')
      const { n, last } = readListQuery(request.query)
      const rows = n === 0 ? [] : store.listTags(repository.id, n + 1, last)
      const tags = rows.slice(0, n).map((row) => row.name)
      const link =
        rows.length > n && nextLink(`/v2/${name}/tags/list`, { n: String(n), last: tags.at(-1) ?? '' })
      return jsonAnswer(200, { name, tags }, link ? { Link: link } : {})
    },

    /** What refers to a manifest; an empty list for what nobody refers to or knows. */
    listReferrers: async (
      request: RegistryRequest,
      name: string,
      digest: string,
    ): Promise<RegistryAnswer> => {
      if (!isDigest(digest)) throw new AppError('DIGEST_INVALID')
      const repository = findForReferrers(request, name)
      const type = request.query.get('artifactType')
      const { n, last } = readListQuery(request.query)
      const { descriptors, last: next } = repository
        ? await referrersOf(repository, digest, { type, n: n || MAX_LIST, after: last })
        : { descriptors: [], last: undefined }
      const more = {
        ...(type !== null && { artifactType: type }),
        n: String(n || MAX_LIST),
        last: next ?? '',
      }
      return jsonAnswer(
        200,
        { schemaVersion: 2, mediaType: MEDIA_TYPES.index, manifests: descriptors },
        {
          'Content-Type': MEDIA_TYPES.index,
          ...(type !== null && { 'OCI-Filters-Applied': 'artifactType' }),
          ...(next !== undefined && { Link: nextLink(`/v2/${name}/referrers/${digest}`, more) }),
        },
      )
    },

    /** The repositories that the caller may pull from. */
    listCatalog: async (request: RegistryRequest): Promise<RegistryAnswer> => {
      if (!request.caller.seesCatalog)
        throw new AppError('UNAUTHENTICATED', { cause: new InsufficientScope() })
      const { n, last } = readListQuery(request.query)
      const { actor } = request.caller.context
      const visible = actor.visibleProjects()
      const projects =
        visible === 'all' ? visible : visible.filter((project) => actor.can('registry.pull', project))
      const rows = n === 0 ? [] : store.list(projects, n + 1, last)
      const repositories = rows.slice(0, n).map((row) => row.name)
      const link =
        rows.length > n && nextLink('/v2/_catalog', { n: String(n), last: repositories.at(-1) ?? '' })
      return jsonAnswer(200, { repositories }, link ? { Link: link } : {})
    },
  }
}

const PAGE = 200

function descriptorOf(row: ReferrerRow, annotations: string | null): Descriptor {
  return {
    mediaType: row.media_type,
    digest: row.digest,
    size: row.size_bytes,
    ...(row.artifact_type !== null && { artifactType: row.artifact_type }),
    ...(annotations !== null && { annotations: JSON.parse(annotations) as Record<string, string> }),
  }
}
