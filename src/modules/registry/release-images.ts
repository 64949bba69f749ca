import { AppError } from '../../lib/errors.ts'
import type { System } from '../../lib/system.ts'
import type { Database } from '../../store/database.ts'
import { SYSTEM_ACTOR_NAME } from '../identity/actor.ts'
import type { RegistryAction } from './caller.ts'
import type { ManifestStore } from './manifest-store.ts'
import type { PinStore } from './pin-store.ts'
import { isDigest, isTag } from './registry-path.ts'
import type { RegistryRules } from './registry-rules.ts'
import { HIDDEN, type RegistryStore, type RepositoryRow, type TagRow } from './registry-store.ts'
import type { TokenSigner } from './token-signer.ts'

/** An image in the registry, named so that it can never be another one. */
export interface StoredImage {
  /** `<project>/<service>`, without a host. */
  repository: string
  digest: string
  media_type: string
}

/** What deployments ask of the registry. */
export interface ReleaseImages {
  /** A token for the engine or for a copy, good for one repository and a short time, and no longer than there is the service. */
  grant(repository: string, actions: readonly RegistryAction[], serviceId: string): string
  /** The image behind a tag or digest, and the project that it belongs to. */
  find(repository: string, reference: string): (StoredImage & { project_id: string }) | undefined
  /**
   * Inside the caller's transaction: has a deployment hold an image. `tag` is the name that Berth pushed it under, which goes with the
   * last release; without one the image is someone else's. Throws MANIFEST_UNKNOWN when it is gone.
   */
  pin(deploymentId: string, image: { repository: string; digest: string; tag?: string }): void
  /** Inside the caller's transaction: has a deployment hold what another one holds. Answers whether that one holds anything. */
  pinSame(deploymentId: string, as: string): boolean
  /** What a deployment holds, under the repository's present name. */
  pinned(deploymentId: string): StoredImage | undefined
  /** The deployments that hold something. */
  listPinned(): string[]
  /** Inside the caller's transaction: lets go of it; what Berth alone pushed and nobody needs any more goes too. */
  unpin(deploymentIds: readonly string[]): void
  /** See `RegistryStore`. */
  listUnheldTags: RegistryStore['listUnheldTags']
  /** Inside the caller's transaction: removes a tag that Berth gave unless a release holds something by it, and the image that nobody needs any more. */
  removeUnheldTag(repositoryId: number, tag: string): void
  /**
   * Inside the caller's transaction: takes a deleted service's repositories out of everyone's sight, and answers those that stay: a release of
   * another service holds an image of theirs, a rule makes a tag immutable, or somebody else pushed there and `takesOthers` is false. Its own
   * releases keep what they hold until `removeHidden`.
   */
  hideRepositories(
    service: { id: string; project_id: string; name: string },
    options: { isOwn: (deploymentId: string) => boolean; takesOthers: boolean },
  ): string[]
  /** Inside the caller's transaction, once the service's releases are gone: removes what was hidden. */
  removeHidden(service: { id: string; project_id: string }): void
}

export interface ReleaseImageDeps {
  database: Database
  system: System
  store: RegistryStore
  manifests: ManifestStore
  pins: PinStore
  signer: TokenSigner
  rules: Pick<RegistryRules, 'isImmutable' | 'hasImmutable'>
}

/** An engine that pushes a large image asks for each of its layers anew; a request that has begun is never cut. */
const GRANT_SECONDS = 3600
const TAG_PAGE = 1000

/** The images of releases: how they come to be held, and how they are let go. */
export function createReleaseImages(deps: ReleaseImageDeps): ReleaseImages {
  const { database, system, store, manifests, pins, rules } = deps

  const findRepository = (name: string): RepositoryRow | undefined => {
    const slash = name.indexOf('/')
    return slash === -1 ? undefined : store.find(name.slice(0, slash), name.slice(slash + 1))
  }

  const removeLoose = (manifestId: number): void => {
    if (!pins.isLoose(manifestId)) return
    const children = pins.children(manifestId)
    manifests.remove(manifestId)
    for (const child of children) removeLoose(child)
  }

  /** Whether a rule keeps a tag that Berth did not give. */
  const hasImmutableTag = (repository: RepositoryRow): boolean => {
    if (!rules.hasImmutable(repository)) return false
    let after: string | undefined
    for (;;) {
      const tags = store.listTags(repository.id, TAG_PAGE, after)
      const isKept = ({ name }: TagRow): boolean =>
        rules.isImmutable(repository, name) && !pins.holdsTag(repository.id, name)
      if (tags.some(isKept)) return true
      if (tags.length < TAG_PAGE) return false
      after = tags.at(-1)?.name
    }
  }

  return {
    grant: (repository, actions, service_id) =>
      deps.signer.sign({
        kind: 'access',
        principal: null,
        name: SYSTEM_ACTOR_NAME,
        service_id,
        epoch: '',
        grants: { [repository]: actions },
        expires: Math.floor(system.now() / 1000) + GRANT_SECONDS,
      }),

    find: (name, reference) => {
      const repository = findRepository(name)
      if (!repository || !(isTag(reference) || isDigest(reference))) return undefined
      const found = isDigest(reference)
        ? manifests.findByDigest(repository.id, reference)
        : manifests.findByTag(repository.id, reference)
      return (
        found && {
          project_id: repository.project_id,
          repository: repository.name,
          digest: found.digest,
          media_type: found.media_type,
        }
      )
    },

    pin: (deploymentId, { repository: name, digest, tag }) => {
      const repository = findRepository(name)
      const manifest = repository && manifests.findByDigest(repository.id, digest)
      if (!manifest) throw new AppError('MANIFEST_UNKNOWN')
      pins.put(deploymentId, manifest.id, tag ?? null)
    },

    pinSame: (deploymentId, as) => {
      const pin = pins.find(as)
      if (pin) pins.put(deploymentId, pin.manifest_id, pin.tag)
      return pin !== undefined
    },

    pinned: (deploymentId) => {
      const pin = pins.find(deploymentId)
      const found = pin && manifests.findByDigest(pin.repository_id, pin.digest)
      return found && { repository: pin.repository, digest: pin.digest, media_type: found.media_type }
    },

    listPinned: pins.listHolders,

    unpin: (deploymentIds) =>
      database.transact(() => {
        for (const deploymentId of deploymentIds) {
          const pin = pins.find(deploymentId)
          if (!pin) continue
          pins.remove(deploymentId)
          if (pin.tag === null) continue
          // Others may hold the manifest by tags of their own, as each deployment of an unchanged image does: this one goes all the same.
          const tag = store.findTag(pin.repository_id, pin.tag)
          if (tag?.own === 1 && tag.digest === pin.digest && !pins.holdsTag(pin.repository_id, pin.tag))
            store.removeTag(pin.repository_id, pin.tag)
          removeLoose(pin.manifest_id)
        }
      }),

    listUnheldTags: store.listUnheldTags,

    removeUnheldTag: (repositoryId, tag) => {
      if (store.findTag(repositoryId, tag)?.own !== 1 || pins.holdsTag(repositoryId, tag)) return
      const manifest = manifests.findByTag(repositoryId, tag)
      if (store.removeTag(repositoryId, tag) && manifest) removeLoose(manifest.id)
    },

    hideRepositories: ({ id, project_id, name }, { isOwn, takesOthers }) => {
      const kept: string[] = []
      for (const { id: repositoryId, path } of store.listUnder(project_id, name)) {
        const repository = store.findById(repositoryId)
        if (!repository) continue
        const goes =
          pins.holdersIn(repositoryId).every(isOwn) &&
          (takesOthers || !pins.holdsOthers(repositoryId)) &&
          !hasImmutableTag(repository)
        if (goes) store.rename(repositoryId, `${HIDDEN}${id}${path.slice(name.length)}`)
        else kept.push(repository.name)
      }
      return kept
    },

    removeHidden: ({ id, project_id }) => {
      for (const repository of store.listUnder(project_id, `${HIDDEN}${id}`)) store.remove(repository.id)
    },
  }
}
