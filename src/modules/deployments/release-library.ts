import { AppError } from '../../lib/errors.ts'
import { type ImageInfo, type Runtime, TransferFailed } from '../../runtime/runtime.ts'
import type { ReleaseImages, StoredImage } from '../registry/release-images.ts'

export interface ReleaseLibraryDeps {
  runtime: Pick<Runtime, 'pushImage' | 'pullImage'>
  images: ReleaseImages
  /** Where the engine reaches Berth's registry, `127.0.0.1:7180`; known once the API listens. */
  registryHost: () => string
}

type GrantOf = [actions: readonly ('pull' | 'push')[], serviceId: string]

/** The images of releases in Berth's own registry: from there they come back whatever happens to the engine's. */
export interface ReleaseLibrary extends Pick<
  ReleaseImages,
  'pin' | 'pinSame' | 'pinned' | 'listPinned' | 'unpin' | 'listUnheldTags' | 'removeUnheldTag'
> {
  /** Pushes an image of the engine under a tag. Throws TransferFailed, NOT_FOUND. */
  publish(
    image: string,
    to: { repository: string; tag: string; service_id: string },
    signal: AbortSignal,
  ): Promise<{ digest: string }>
  /** Has the engine have the image that the deployment holds, under this name. Throws NOT_FOUND when it holds none, and TransferFailed. */
  restore(deploymentId: string, name: string, signal: AbortSignal): Promise<ImageInfo & StoredImage>
}

export function createReleaseLibrary({ runtime, images, registryHost }: ReleaseLibraryDeps): ReleaseLibrary {
  const placeOf = (repository: string, ...[actions, serviceId]: GrantOf) => ({
    host: registryHost(),
    repository,
    token: images.grant(repository, actions, serviceId),
  })
  const { pin, pinSame, pinned, listPinned, unpin, listUnheldTags, removeUnheldTag } = images
  return {
    pin,
    pinSame,
    pinned,
    listPinned,
    unpin,
    listUnheldTags,
    removeUnheldTag,

    publish: (image, { repository, tag, service_id }, signal) =>
      runtime.pushImage(image, { ...placeOf(repository, ['pull', 'push'], service_id), tag }, signal),

    restore: async (deploymentId, name, signal) => {
      const stored = pinned(deploymentId)
      if (!stored) throw new AppError('NOT_FOUND')
      const { repository, digest } = stored
      const from = { ...placeOf(repository, ['pull'], ''), digest }
      return { ...stored, ...(await runtime.pullImage(from, name, signal)) }
    },
  }
}

/** The failure of a transfer, for the deployment's log; undefined when it is something else. */
export function transferReason(error: unknown, what: string): string | undefined {
  return error instanceof TransferFailed ? `${what}: ${error.message}` : undefined
}
