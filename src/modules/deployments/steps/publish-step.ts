import { isAppError } from '../../../lib/errors.ts'
import { type ReleaseLibrary, transferReason } from '../release-library.ts'
import { releaseTag } from '../release-tag.ts'
import type { FoundImage } from '../sources/source-fetch.ts'
import { DeploymentFailed, type StepContext, type StepWork } from './step.ts'

export interface PublishStepDeps {
  library: ReleaseLibrary
  setArtifact: (deploymentId: string, found: FoundImage) => void
}

/** The step that puts what was built into Berth's own registry and has the release hold it there. */
export function createPublishStep(deps: PublishStepDeps): Record<'publish', StepWork> {
  const { library } = deps
  return {
    publish: async (context) => {
      const { image, image_id } = context.deployment
      if (image === null || image_id === null) throw new DeploymentFailed('There is no image to publish.')
      const repository = `${context.project_name}/${context.service_name}`
      const tag = releaseTag(context.deployment)
      const { digest } = await push(
        image,
        { repository, tag, service_id: context.deployment.service_id },
        context,
      )
      pin(context, { repository, digest, tag })
      context.log(`Published ${repository}@${digest}.`)
      return () => deps.setArtifact(context.deployment.id, { image, image_id, digest })
    },
  }

  function pin({ deployment }: StepContext, to: { repository: string; digest: string; tag: string }): void {
    try {
      library.pin(deployment.id, to)
    } catch (error) {
      if (!isAppError(error, 'MANIFEST_UNKNOWN')) throw error
      throw new DeploymentFailed('The image was deleted from the registry as soon as it had been pushed.')
    }
  }

  async function push(
    image: string,
    to: { repository: string; tag: string; service_id: string },
    { signal }: StepContext,
  ): Promise<{ digest: string }> {
    try {
      return await library.publish(image, to, signal)
    } catch (error) {
      const reason = transferReason(error, 'The image could not be pushed to the registry of this node')
      throw reason === undefined ? error : new DeploymentFailed(reason)
    }
  }
}
