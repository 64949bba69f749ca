import { mkdir, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { systemCodeOf } from '../../lib/errors.ts'
import type { DeploymentCommit } from './deployment-schema.ts'
import type { SourceFetchers } from './sources/source-fetch.ts'
import { DeploymentFailed, type StepContext } from './steps/step.ts'

export interface WorkFoldersDeps {
  /** Holds a folder for each deployment that is under way. */
  workDir: string
  fetchers: SourceFetchers
}

export type WorkFolders = ReturnType<typeof createWorkFolders>

/** Where the sources of deployments lie while they are built. */
export function createWorkFolders(deps: WorkFoldersDeps) {
  /** Deployments whose source is whole. Of what an earlier daemon fetched nobody knows whether it reached the disk. */
  const whole = new Map<string, { commit?: DeploymentCommit }>()

  return {
    /** The folder of a deployment's source, fetched unless this daemon has done so already, and the commit if it has one. */
    async ensureSource(context: StepContext): Promise<{ source_dir: string; commit?: DeploymentCommit }> {
      const { deployment, signal } = context
      const fetcher = deps.fetchers[deployment.source.type]
      if (fetcher.gives !== 'folder') throw new DeploymentFailed('There is no source to build.')
      const folder = join(deps.workDir, deployment.id)
      const source_dir = join(folder, 'source')
      const known = whole.get(deployment.id)
      if (known) return { source_dir, ...known }
      await removeFolder(folder)
      await mkdir(source_dir, { recursive: true, mode: 0o700 })
      signal.throwIfAborted()
      const fetched = await fetcher.fetch(context, source_dir)
      whole.set(deployment.id, fetched)
      return { source_dir, ...fetched }
    },

    /** Removes what there is of a deployment. */
    async remove(deploymentId: string): Promise<void> {
      whole.delete(deploymentId)
      await removeFolder(join(deps.workDir, deploymentId))
    },
  }
}

/** The body of a worker: removes the folders of deployments that are over, which a crash left behind. */
export async function sweepWorkFolders(
  workDir: string,
  isOpen: (deploymentId: string) => boolean,
): Promise<void> {
  for (const name of await listNames(workDir)) {
    if (!isOpen(name)) await removeFolder(join(workDir, name))
  }
}

/** Tries again when something appears in it meanwhile: what was stopped a moment ago may still write its last file. */
async function removeFolder(folder: string): Promise<void> {
  await rm(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 20 })
}

async function listNames(directory: string): Promise<string[]> {
  try {
    return await readdir(directory)
  } catch (error) {
    if (systemCodeOf(error) === 'ENOENT') return []
    throw error
  }
}
