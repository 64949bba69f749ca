import { isAppError } from '../../lib/errors.ts'
import type { Database } from '../../store/database.ts'
import { LABELS } from '../../runtime/labels.ts'
import type { ImageInfo, Runtime } from '../../runtime/runtime.ts'
import type { DeploymentImageStore } from './deployment-image-store.ts'
import type { DeploymentStore } from './deployment-store.ts'
import { deploymentOfName, listEngineImages } from './engine-image.ts'
import type { ReleaseLibrary } from './release-library.ts'
import { removeStrayTags, type StrayTagDeps } from './release-tag.ts'

export interface ImageRetentionDeps {
  runtime: Runtime
  database: Database
  store: Pick<DeploymentStore, 'listOpen'>
  images: DeploymentImageStore
  system: StrayTagDeps['system']
  library: Pick<ReleaseLibrary, 'unpin' | 'listPinned'> & StrayTagDeps['library']
  /** How many earlier releases of each service can be gone back to. */
  keep: number
}

/**
 * The body of a worker: removes the images that Berth built for deployments and that no release needs any more, also those that a crash left
 * without a row. What is given up is recorded first, so that nobody deploys an image that is about to go.
 */
export async function removeExpiredImages(deps: ImageRetentionDeps, signal: AbortSignal): Promise<void> {
  const { runtime, store } = deps
  deps.database.transact(() => {
    deps.images.forgetExpiredImages(deps.keep)
    // Those that ended before they had an image of their own hold one, too.
    deps.library.unpin(deps.images.listWithoutImage(deps.library.listPinned()))
  })
  await removeStrayTags(deps, signal)
  const images = await runtime.listImages({ [LABELS.kind]: 'image' })
  // Read after the list: what was built meanwhile belongs to a deployment that is open or recorded by now.
  const references = [
    ...planRemovals(images, deps.images.listImages(), store.listOpen()),
    ...(await listGivenUp(deps)),
  ]
  for (const reference of new Set(references)) {
    if (signal.aborted) return
    try {
      await runtime.removeImage(reference)
    } catch (error) {
      // A container that is on its way out still uses it; the next round finds it free.
      if (!isAppError(error, 'CONFLICT')) throw error
    }
  }
}

/**
 * The names of images that came from elsewhere and so carry no label of ours: they end in the id of the deployment that had them brought.
 * Ids that we do not know are another node's.
 */
async function listGivenUp({ runtime, images }: ImageRetentionDeps): Promise<string[]> {
  const found = await listEngineImages(runtime)
  const kept = new Set(images.listImages())
  const givenUp = new Set(images.listWithoutImage(found.map(({ deployment_id }) => deployment_id)))
  return found.flatMap(({ name, deployment_id }) =>
    givenUp.has(deployment_id) && !kept.has(name) ? [name] : [],
  )
}

/**
 * The names that belong to nothing. The labels alone prove nothing: an image that someone made from one of ours has them, and one of ours may have
 * names that someone gave it. What has no name is left to whoever took it away, or is theirs.
 */
export function planRemovals(
  images: readonly Pick<ImageInfo, 'tags' | 'labels'>[],
  kept: readonly string[],
  open: readonly { id: string }[],
): string[] {
  const needed = new Set(kept)
  const underWay = new Set(open.map(({ id }) => id))
  return images.flatMap(({ tags, labels }) => {
    const id = labels[LABELS.deployment]
    if (id === undefined || underWay.has(id)) return []
    return tags.filter((tag) => deploymentOfName(tag) === id && !needed.has(tag))
  })
}
