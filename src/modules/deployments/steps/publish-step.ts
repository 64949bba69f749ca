import { type ReleaseLibrary, transferReason } from '../release-library.ts'
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
      const tag = releaseTag(context)
      const { digest } = await push(
        image,
        { repository, tag, service_id: context.deployment.service_id },
        context,
      )
      context.log(`Published ${repository}@${digest}.`)
      return () => {
        library.pin(context.deployment.id, { repository, digest, tag })
        deps.setArtifact(context.deployment.id, { image, image_id, digest })
      }
    },
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

/** Numbers begin anew when a service is made anew under the name of one whose images were kept: the end of the id tells them apart. */
export function releaseTag({ deployment }: Pick<StepContext, 'deployment'>): string {
  return `release-${deployment.number}-${deployment.id.slice(-8)}`
}
