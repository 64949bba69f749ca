import { isAppError } from '../../lib/errors.ts'
import type { Runtime } from '../../runtime/runtime.ts'
import type { DeploymentStore } from './deployment-store.ts'

/** The body of a worker: removes the images of releases beyond those that are kept. Only images that Berth made are ever named. */
export async function removeExpiredImages(
  deps: { runtime: Runtime; store: DeploymentStore; keep: number },
  signal: AbortSignal,
): Promise<void> {
  for (const { id, image } of deps.store.listExpiredImages(deps.keep)) {
    if (signal.aborted || image === null) return
    try {
      await deps.runtime.removeImage(image)
    } catch (error) {
      // A container that is on its way out still uses it; the next round finds it free.
      if (isAppError(error, 'CONFLICT')) continue
      throw error
    }
    deps.store.forgetImage(id)
  }
}
