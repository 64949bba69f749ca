import { AppError, isAppError } from '../../lib/errors.ts'
import { MEDIA_TYPES } from './manifest-document.ts'
import type { ManifestRow, ManifestStore } from './manifest-store.ts'
import { jsonAnswer, type RegistryAnswer } from './registry-answer.ts'
import { isDigest } from './registry-path.ts'
import { MAX_LIST, nextLink, readListQuery, type RegistryRequest } from './registry-request.ts'
import type { RegistryStore, RepositoryRow } from './registry-store.ts'
import { InsufficientScope, type RepositoryAccess } from './repository-access.ts'

export interface ListingDeps {
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

  /** All of a subject's referrers behind `after`, a bounded number, in the order of their digests. */
  const referrersOf = (
    repository: RepositoryRow,
    subject: string,
    wanted: { type: string | null; n: number; after: string },
  ): { descriptors: Descriptor[]; hasMore: boolean } => {
    const found = new Map<string, Descriptor>()
    for (const each of fallback(repository, subject))
      if (each.digest > wanted.after) found.set(each.digest, each)
    let after = wanted.after
    let isWhole = false
    let bytes = 0
    while (!isWhole && bytes < MAX_REFERRERS_BYTES) {
      const rows = manifests.referrers(repository.id, subject, PAGE, after)
      isWhole = rows.length < PAGE
      for (const row of rows) {
        after = row.digest
        found.delete(row.digest)
        if (wanted.type !== null && row.artifact_type !== wanted.type) continue
        found.set(row.digest, descriptorOf(row))
        bytes += row.annotations?.length ?? 0
        if (bytes >= MAX_REFERRERS_BYTES) break
      }
      if (found.size > wanted.n) break
    }
    const all = [...found.values()]
      .filter((each) => wanted.type === null || each.artifactType === wanted.type)
      .filter((each) => isWhole || each.digest <= after)
      .toSorted((one, other) => (one.digest < other.digest ? -1 : 1))
    return { descriptors: all.slice(0, wanted.n), hasMore: !isWhole || all.length > wanted.n }
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
      const { descriptors, hasMore } = repository
        ? referrersOf(repository, digest, { type, n: n || MAX_LIST, after: last })
        : { descriptors: [], hasMore: false }
      const next = {
        ...(type !== null && { artifactType: type }),
        n: String(n || MAX_LIST),
        last: descriptors.at(-1)?.digest ?? '',
      }
      return jsonAnswer(
        200,
        { schemaVersion: 2, mediaType: MEDIA_TYPES.index, manifests: descriptors },
        {
          'Content-Type': MEDIA_TYPES.index,
          ...(type !== null && { 'OCI-Filters-Applied': 'artifactType' }),
          ...(hasMore &&
            descriptors.length > 0 && { Link: nextLink(`/v2/${name}/referrers/${digest}`, next) }),
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

function descriptorOf(row: ManifestRow): Descriptor {
  return {
    mediaType: row.media_type,
    digest: row.digest,
    size: row.size_bytes,
    ...(row.artifact_type !== null && { artifactType: row.artifact_type }),
    ...(row.annotations !== null && { annotations: JSON.parse(row.annotations) as Record<string, string> }),
  }
}
