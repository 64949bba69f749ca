import type { System } from '../../lib/system.ts'
import type { Database } from '../../store/database.ts'
import type { ReleaseImages } from '../registry/release-images.ts'
import type { DeploymentImageStore } from './deployment-image-store.ts'
import type { DeploymentRow } from './deployment-schema.ts'

const PREFIX = 'release-'
const SUFFIX_LENGTH = 8
const FORM = new RegExp(`^${PREFIX}([1-9][0-9]{0,14})-([0-9a-f]{${SUFFIX_LENGTH}})$`)

/** Numbers begin anew when a service is made anew under the name of one whose images were kept: the end of the id tells them apart. */
export function releaseTag({ number, id }: Pick<DeploymentRow, 'number' | 'id'>): string {
  return `${PREFIX}${number}-${id.slice(-SUFFIX_LENGTH)}`
}

export interface StrayTagDeps {
  database: Database
  system: Pick<System, 'sleep'>
  images: Pick<DeploymentImageStore, 'isOver'>
  library: Pick<ReleaseImages, 'listUnheldTags' | 'removeUnheldTag'>
}

/** Repositories that are looked at in one go. */
const WINDOW = 100

/**
 * Removes the tags that Berth gave for deployments which are over and hold nothing by them: what one leaves that ends between its push and
 * the record of it. Tags that only look alike stay, and so do those of services that were deleted without their images.
 */
export async function removeStrayTags(deps: StrayTagDeps, signal: AbortSignal): Promise<void> {
  const { database, images, library, system } = deps
  const isStray = (projectId: string, tag: string): boolean => {
    const [, number, suffix] = FORM.exec(tag) ?? []
    return number !== undefined && suffix !== undefined && images.isOver(projectId, Number(number), suffix)
  }
  for (let from = 0; ; from += WINDOW) {
    const found = library.listUnheldTags(PREFIX, from, from + WINDOW)
    if (!found) return
    for (const { repository_id, project_id, tag } of found) {
      if (signal.aborted) return
      if (isStray(project_id, tag)) database.transact(() => library.removeUnheldTag(repository_id, tag))
    }
    await system.sleep(0)
  }
}
