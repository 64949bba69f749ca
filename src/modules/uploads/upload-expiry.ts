import { rm } from 'node:fs/promises'
import type { System } from '../../lib/system.ts'
import type { UploadFiles } from './upload-files.ts'
import type { UploadStore } from './upload-store.ts'

export interface UploadExpiryDeps {
  store: UploadStore
  files: UploadFiles
  system: System
  /** Whether the deployment is under way and may still need its upload. */
  isDeploymentOpen: (deploymentId: string) => boolean
}

/**
 * The body of a worker: removes uploads that nothing took in time or whose deployment is over, and files that belong to nothing. Run it at
 * start, every few minutes, and after a service was deleted.
 */
export function createUploadExpiry(deps: UploadExpiryDeps): { run: (signal: AbortSignal) => Promise<void> } {
  const { store, files, system } = deps
  return {
    run: async (signal) => {
      for (const upload of store.listDue(system.nowIso())) {
        if (signal.aborted) return
        if (upload.deployment_id !== null && deps.isDeploymentOpen(upload.deployment_id)) continue
        // The row first: a file without one is swept after a crash, a row without a file would promise what is gone.
        store.remove(upload.id)
        await rm(files.pathOf(upload), { force: true })
      }
      if (!signal.aborted) await files.sweep((id) => store.find(id) !== undefined)
    },
  }
}
