import { isAppError } from '../../../lib/errors.ts'
import { type ReleaseLibrary, transferReason } from '../release-library.ts'
import { DeploymentFailed } from './step.ts'

/** Has the engine take a deployment's image from the registry again, under the name that it had. Throws DeploymentFailed. */
export async function restoreImage(
  library: Pick<ReleaseLibrary, 'restore'>,
  { id, image }: { id: string; image: string },
  signal: AbortSignal,
): ReturnType<ReleaseLibrary['restore']> {
  try {
    return await library.restore(id, image, signal)
  } catch (error) {
    if (isAppError(error, 'NOT_FOUND'))
      throw new DeploymentFailed('The image is no longer in the engine. Deploy the source again.')
    const reason = transferReason(error, 'The engine could not take the image from the registry of this node')
    throw reason === undefined ? error : new DeploymentFailed(reason)
  }
}
