import { LABELS } from '../../../runtime/labels.ts'
import { type BuildLine, BuildFailed, type ImageInfo, type Runtime } from '../../../runtime/runtime.ts'
import type { Env } from '../../secrets/env-schema.ts'
import type { ServiceBuild } from '../../services/service-schema.ts'
import type { DeploymentCommit, SealedEnv } from '../deployment-schema.ts'
import { engineImage } from '../engine-image.ts'
import { notePort } from './port-note.ts'
import type { FoundImage, SourceFetchers } from '../sources/source-fetch.ts'
import type { WorkFolders } from '../work-folders.ts'
import { createBuildSecretsReader } from './build-secrets.ts'
import { createEnvFileReader, type EnvFileStepDeps } from './env-file.ts'
import { DeploymentFailed, type StepContext, type StepWork } from './step.ts'

export interface BuildRequest {
  source_dir: string
  build: ServiceBuild
  /** Values of its `build_secrets`, by name. */
  secrets: Env
  tag: string
  labels: Record<string, string>
  onLine: (line: BuildLine) => void
  signal: AbortSignal
}

export interface SourceStepDeps extends EnvFileStepDeps {
  runtime: Runtime
  fetchers: SourceFetchers
  folders: WorkFolders
  /** Waits for its turn and sees itself to the time that a build may take. */
  buildSource: (
    request: BuildRequest,
  ) => Promise<{ image_id: string; exposed_ports: number[]; builder: string }>
  setArtifact: (deploymentId: string, found: FoundImage) => void
  setCommit: (deploymentId: string, commit: DeploymentCommit) => void
  setFileEnv: (deploymentId: string, env: SealedEnv) => void
}

/** The steps that turn a source into an image. */
export function createSourceSteps(deps: SourceStepDeps): Record<'fetch' | 'build', StepWork> {
  const { runtime, folders } = deps
  const readEnvFile = createEnvFileReader(deps)
  const readBuildSecrets = createBuildSecretsReader(deps)

  const ensureImage = async (
    context: StepContext,
    tag: string,
  ): Promise<Pick<ImageInfo, 'id' | 'exposed_ports'>> => {
    // The tag is set when an image is whole: a daemon before this one got as far as that.
    const known = await runtime.findImage(tag)
    if (known) return known
    const secrets = await readBuildSecrets(context)
    const { source_dir } = await folders.ensureSource(context)
    try {
      const { image_id: id, exposed_ports } = await deps.buildSource({
        source_dir,
        build: context.deployment.build,
        secrets,
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
      const { id, source, build } = context.deployment
      const fetcher = deps.fetchers[source.type]
      if (fetcher.gives === 'image') {
        const isRelease = source.type === 'redeploy' || source.type === 'rollback'
        if (build.env_file !== null && !isRelease)
          throw new DeploymentFailed(
            'env_file names a file of the source, and an image has none. Set it to null.',
          )
        const found = await fetcher.fetch(context)
        return () => deps.setArtifact(id, found)
      }
      const { commit, source_dir } = await folders.ensureSource(context)
      const env = await readEnvFile(context, source_dir)
      return () => {
        if (commit) deps.setCommit(id, commit)
        if (env) deps.setFileEnv(id, env)
      }
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
