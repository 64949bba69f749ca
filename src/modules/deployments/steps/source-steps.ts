import { mkdir, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { writeDurableFile } from '../../../lib/durable-file.ts'
import { LABELS } from '../../../runtime/labels.ts'
import { type BuildLine, BuildFailed } from '../../../runtime/runtime.ts'
import type { ServiceBuild } from '../../services/service-schema.ts'
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
  /** Holds a folder for each deployment that is under way. */
  workDir: string
  unpackUpload: (
    uploadId: string,
    directory: string,
    signal: AbortSignal,
  ) => Promise<{ entries: number; bytes: number }>
  buildSource: (
    request: BuildRequest,
  ) => Promise<{ image_id: string; exposed_ports: number[]; builder: string }>
  setImage: (deploymentId: string, image: string, imageId: string) => void
}

/** Written beside the source once it is whole. */
const COMPLETE = 'complete'

/** The steps that turn an upload into an image. */
export function createSourceSteps(deps: SourceStepDeps): Record<'fetch' | 'build', StepWork> {
  const folderOf = (deploymentId: string): string => join(deps.workDir, deploymentId)

  const ensureSource = async (context: StepContext): Promise<string> => {
    const { deployment } = context
    if (deployment.source.type !== 'upload') throw new DeploymentFailed('There is no source to build.')
    const folder = folderOf(deployment.id)
    const source = join(folder, 'source')
    if (await exists(join(folder, COMPLETE))) return source
    await rm(folder, { recursive: true, force: true })
    await mkdir(source, { recursive: true, mode: 0o700 })
    const { entries, bytes } = await deps.unpackUpload(deployment.source.upload_id, source, context.signal)
    await writeDurableFile(join(folder, COMPLETE), '')
    context.log(`Unpacked ${entries} entries, ${bytes} bytes.`)
    return source
  }

  return {
    fetch: async (context) => {
      await ensureSource(context)
    },

    build: async (context) => {
      const { deployment } = context
      const source_dir = await ensureSource(context)
      const tag = imageTag(context)
      const built = await deps
        .buildSource({
          source_dir,
          build: deployment.build,
          tag,
          labels: {
            [LABELS.kind]: 'image',
            [LABELS.project]: deployment.project_id,
            [LABELS.service]: deployment.service_id,
            [LABELS.deployment]: deployment.id,
          },
          onLine: ({ stream, line }) => context.log(line, stream),
          signal: context.signal,
        })
        .catch((error: unknown) => {
          throw error instanceof BuildFailed ? new DeploymentFailed(error.message) : error
        })
      context.log(`Built ${tag} (${built.image_id}).`)
      const port = deployment.config.internal_port
      const [exposed] = built.exposed_ports
      if (port !== null && exposed !== undefined && !built.exposed_ports.includes(port)) {
        context.log(
          `Note: the image exposes port ${exposed} but the service's internal_port is ${port}. It must listen on PORT=${port}, or set internal_port to ${exposed}.`,
        )
      }
      await rm(folderOf(deployment.id), { recursive: true, force: true })
      return () => deps.setImage(deployment.id, tag, built.image_id)
    },
  }
}

function imageTag(context: StepContext): string {
  return `berth/${context.project_name}/${context.service_name}:${context.deployment.id}`
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  )
}
