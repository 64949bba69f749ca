import { LABELS } from '../../../runtime/labels.ts'
import { type BuildLine, BuildFailed, type ImageInfo, type Runtime } from '../../../runtime/runtime.ts'
import type { ServiceBuild } from '../../services/service-schema.ts'
import type { DeploymentCommit } from '../deployment-schema.ts'
import { engineImage } from '../engine-image.ts'
import type { FoundImage, SourceFetchers } from '../sources/source-fetch.ts'
import type { WorkFolders } from '../work-folders.ts'
import { DeploymentFailed, type StepContext, type StepWork } from './step.ts'

export interface BuildRequest {
  source_dir: string
  build: ServiceBuild
  tag: string
  labels: Record<string, string>
  onLine: (line: BuildLine) => void
  signal: AbortSignal
}

export interface SourceStepDeps {
  runtime: Runtime
  fetchers: SourceFetchers
  folders: WorkFolders
  /** Waits for its turn and sees itself to the time that a build may take. */
  buildSource: (
    request: BuildRequest,
  ) => Promise<{ image_id: string; exposed_ports: number[]; builder: string }>
  setArtifact: (deploymentId: string, found: FoundImage) => void
  setCommit: (deploymentId: string, commit: DeploymentCommit) => void
}

/** The steps that turn a source into an image. */
export function createSourceSteps(deps: SourceStepDeps): Record<'fetch' | 'build', StepWork> {
  const { runtime, folders } = deps

  const ensureImage = async (
    context: StepContext,
    tag: string,
  ): Promise<Pick<ImageInfo, 'id' | 'exposed_ports'>> => {
    // The tag is set when an image is whole: a daemon before this one got as far as that.
    const known = await runtime.findImage(tag)
    if (known) return known
    const { source_dir } = await folders.ensureSource(context)
    try {
      const { image_id: id, exposed_ports } = await deps.buildSource({
        source_dir,
        build: context.deployment.build,
        tag,
        labels: imageLabels(context),
        onLine: ({ stream, line }) => context.log(line, stream),
        signal: context.signal,
      })
      return { id, exposed_ports }
    } catch (error) {
      throw error instanceof BuildFailed ? new DeploymentFailed(error.message) : error
    }
  }

  return {
    fetch: async (context) => {
      const { id, source } = context.deployment
      const fetcher = deps.fetchers[source.type]
      if (fetcher.gives === 'image') {
        const found = await fetcher.fetch(context)
        return () => deps.setArtifact(id, found)
      }
      const { commit } = await folders.ensureSource(context)
      return commit && (() => deps.setCommit(id, commit))
    },

    build: async (context) => {
      const { deployment } = context
      const tag = engineImage(context)
      const image = await ensureImage(context, tag)
      context.log(`Built ${tag} (${image.id}).`)
      notePort(context, image.exposed_ports)
      await folders.remove(deployment.id)
      return () => deps.setArtifact(deployment.id, { image: tag, image_id: image.id })
    },
  }
}

function imageLabels({ deployment }: StepContext): Record<string, string> {
  return {
    [LABELS.kind]: 'image',
    [LABELS.project]: deployment.project_id,
    [LABELS.service]: deployment.service_id,
    [LABELS.deployment]: deployment.id,
  }
}

function notePort(context: StepContext, exposedPorts: readonly number[]): void {
  const port = context.deployment.config.internal_port
  const [exposed] = exposedPorts
  if (port === null || exposed === undefined || exposedPorts.includes(port)) return
  context.log(
    `Note: the image exposes port ${exposed} but the service's internal_port is ${port}. It must listen on PORT=${port}, or set internal_port to ${exposed}.`,
  )
}
