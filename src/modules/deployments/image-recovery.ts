import { isAppError } from '../../lib/errors.ts'
import type { ReleaseLibrary } from './release-library.ts'

export interface ImageRecoveryDeps {
  library: Pick<ReleaseLibrary, 'restore'>
  onError: (error: unknown) => void
}

/** Brings back images that the engine has lost, for whoever meets that one is gone and cannot wait for it. */
export function createImageRecovery({ library, onError }: ImageRecoveryDeps) {
  const underWay = new Map<string, Promise<void>>()
  const failed = new Set<string>()
  const abort = new AbortController()

  const bringBack = async (id: string, image: string): Promise<void> => {
    try {
      await library.restore(id, image, abort.signal)
    } catch (error) {
      if (abort.signal.aborted) return
      failed.add(id)
      if (!isAppError(error, 'NOT_FOUND')) onError(error)
    } finally {
      underWay.delete(id)
    }
  }

  return {
    /** Begins to bring back a release's image; false once when the last attempt has failed. Ask again until the image is there. */
    recover: ({ id, image }: { id: string; image: string | null }): boolean => {
      if (image === null || failed.delete(id)) return false
      if (!underWay.has(id)) underWay.set(id, bringBack(id, image))
      return true
    },
    stop: async (): Promise<void> => {
      abort.abort()
      await Promise.all(underWay.values())
    },
  }
}
