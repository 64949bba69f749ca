import { mkdir, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { systemCodeOf } from '../../lib/errors.ts'
import { DeploymentFailed, type StepContext } from './steps/step.ts'

export interface WorkFoldersDeps {
  /** Holds a folder for each deployment that is under way. */
  workDir: string
  unpackUpload: (
    uploadId: string,
    directory: string,
    signal: AbortSignal,
  ) => Promise<{ entries: number; bytes: number }>
}

export type WorkFolders = ReturnType<typeof createWorkFolders>

/** Where the sources of deployments lie while they are built. */
export function createWorkFolders(deps: WorkFoldersDeps) {
  /** Deployments whose source is whole. Of what an earlier daemon unpacked nobody knows whether it reached the disk. */
  const whole = new Set<string>()

  return {
    /** The folder of a deployment's source, unpacked unless this daemon has done so already. */
    async ensureSource({ deployment, signal, log }: StepContext): Promise<string> {
      if (deployment.source.type !== 'upload') throw new DeploymentFailed('There is no source to build.')
      const folder = join(deps.workDir, deployment.id)
      const source = join(folder, 'source')
      if (whole.has(deployment.id)) return source
      await rm(folder, { recursive: true, force: true })
      await mkdir(source, { recursive: true, mode: 0o700 })
      signal.throwIfAborted()
      const { entries, bytes } = await deps.unpackUpload(deployment.source.upload_id, source, signal)
      whole.add(deployment.id)
      log(`Unpacked ${entries} entries, ${bytes} bytes.`)
      return source
    },

    /** Removes what there is of a deployment. */
    async remove(deploymentId: string): Promise<void> {
      whole.delete(deploymentId)
      await rm(join(deps.workDir, deploymentId), { recursive: true, force: true })
    },
  }
}

/** The body of a worker: removes the folders of deployments that are over, which a crash left behind. */
export async function sweepWorkFolders(
  workDir: string,
  isOpen: (deploymentId: string) => boolean,
): Promise<void> {
  for (const name of await listNames(workDir)) {
    if (!isOpen(name)) await rm(join(workDir, name), { recursive: true, force: true })
  }
}

async function listNames(directory: string): Promise<string[]> {
  try {
    return await readdir(directory)
  } catch (error) {
    if (systemCodeOf(error) === 'ENOENT') return []
    throw error
  }
}
