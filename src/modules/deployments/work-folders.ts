import { readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'

/** Removes the folders of deployments that are over: what a crash or a failed build left behind. */
export async function sweepWorkFolders(
  workDir: string,
  isOpen: (deploymentId: string) => boolean,
): Promise<void> {
  const names = await readdir(workDir).catch(() => [])
  for (const name of names) {
    if (!isOpen(name)) await rm(join(workDir, name), { recursive: true, force: true })
  }
}
