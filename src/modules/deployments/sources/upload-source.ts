import type { ReleaseSettings } from '../release-settings.ts'
import { DeploymentFailed } from '../steps/step.ts'
import type { SourceFetcher } from './source-fetch.ts'
import type { SourcePlanner } from './source-plan.ts'

export interface UploadPlanDeps {
  settings: ReleaseSettings
  /** Marks an upload of the service as taken; throws NOT_FOUND and UPLOAD_USED. Runs inside the caller's transaction. */
  takeUpload: (
    serviceId: string,
    uploadId: string,
    deploymentId: string,
  ) => { sha256: string; size_bytes: number }
}

/** Plans deployments of an archive that a client sent. */
export function createUploadPlanner(deps: UploadPlanDeps): SourcePlanner<'upload'> {
  return async (service, { upload_id, ...request }) => {
    const build = deps.settings.buildFor(service, request)
    const settings = await deps.settings.snapshot(service)
    return (deploymentId) => {
      const upload = deps.takeUpload(service.id, upload_id, deploymentId)
      return { ...settings, source: { type: 'upload', upload_id, ...upload }, build, skips: [] }
    }
  }
}

export interface UploadFetchDeps {
  unpackUpload: (
    uploadId: string,
    directory: string,
    signal: AbortSignal,
  ) => Promise<{ entries: number; bytes: number }>
}

/** Unpacks uploads. */
export function createUploadFetcher({ unpackUpload }: UploadFetchDeps): SourceFetcher {
  return {
    gives: 'folder',
    fetch: async ({ deployment, signal, log }, directory) => {
      if (deployment.source.type !== 'upload') throw new DeploymentFailed('There is no upload to unpack.')
      const { entries, bytes } = await unpackUpload(deployment.source.upload_id, directory, signal)
      log(`Unpacked ${entries} entries, ${bytes} bytes.`)
      return {}
    },
  }
}
