import { AppError } from '../../../lib/errors.ts'
import type { Runtime } from '../../../runtime/runtime.ts'
import type { ServiceRow } from '../../services/service-schema.ts'
import type { DeploymentRow, DeploymentSource } from '../deployment-schema.ts'
import type { DeploymentStore } from '../deployment-store.ts'
import { createReleaseChoice } from '../release-choice.ts'
import type { ReleaseLibrary } from '../release-library.ts'
import type { ReleaseSettings } from '../release-settings.ts'
import { restoreImage } from '../steps/image-restoration.ts'
import { DeploymentFailed, type StepContext } from '../steps/step.ts'
import type { SourceFetcher } from './source-fetch.ts'
import type { Draft, SourcePlanner } from './source-plan.ts'

export interface ReleasePlanDeps {
  store: DeploymentStore
  settings: ReleaseSettings
  /** Whether the engine still has the image of a release that was never published. */
  hasImage: (imageId: string) => Promise<boolean>
  library: Pick<ReleaseLibrary, 'pinned' | 'pinSame'>
}

type ReleaseSource = Extract<DeploymentSource, { type: 'redeploy' | 'rollback' }>

/** Plans deployments of the image of an earlier release. */
export function createReleasePlanners(deps: ReleasePlanDeps): {
  redeploy: SourcePlanner<'redeploy'>
  rollback: SourcePlanner<'rollback'>
} {
  const { store } = deps
  const releases = createReleaseChoice(store)

  const imageOf = (release: DeploymentRow): { image: string; image_id: string } => {
    // The image may have been given up while we asked for it.
    const { image = null, image_id = null } = store.find(release.id) ?? {}
    if (image !== null && image_id !== null) return { image, image_id }
    throw notKept(release)
  }

  /** With the service's settings of today, or with those that the release had. */
  const planRelease = async (
    service: ServiceRow,
    release: DeploymentRow,
    source: ReleaseSource,
  ): Promise<Draft> => {
    const isHere = deps.library.pinned(release.id) !== undefined
    if (!isHere && (release.image_id === null || !(await deps.hasImage(release.image_id))))
      throw notKept(release)
    const own = {
      config: release.config,
      inherited_names: release.inherited_names,
      env: store.sealedEnvOf(release.id),
    }
    const isRollback = source.type === 'rollback'
    const fileEnv = service.build.env_file === null ? null : own.env.file_env_sealed
    const settings = isRollback ? own : await deps.settings.snapshot(service, fileEnv)
    const again = isRollback
      ? undefined
      : { id: release.id, number: release.number, changes: await deps.settings.differences(own, settings) }
    return (deploymentId) => ({
      ...settings,
      source,
      build: release.build,
      ...(again && { again }),
      artifact: { ...imageOf(release), digest: release.digest, commit: release.commit },
      skips: deps.library.pinSame(deploymentId, release.id) ? ['build', 'publish'] : ['build'],
    })
  }

  return {
    redeploy: (service) => {
      const { live, origin } = releases.requireLive(service)
      return planRelease(service, live, {
        type: 'redeploy',
        deployment_id: origin.id,
        number: origin.number,
      })
    },
    rollback: (service, { deployment_id }) => {
      const { id, ...target } = releases.requireRollbackTarget(service, deployment_id)
      const source = { type: 'rollback', deployment_id: id, number: target.number } as const
      return planRelease(service, { id, ...target }, source)
    },
  }
}

function notKept({ number }: DeploymentRow): AppError {
  return new AppError('NOTHING_TO_DEPLOY', {
    message: `The image of deployment ${number} is no longer kept. Deploy the source again.`,
  })
}

/** Finds the image that a release left in the engine, or has the engine take it from the registry again. */
export function createReleaseFetcher(deps: {
  runtime: Pick<Runtime, 'findImage'>
  library: Pick<ReleaseLibrary, 'restore'>
  /** Says whether the tag that an image came by has moved. */
  lookAtTag: (context: StepContext) => Promise<void>
}): SourceFetcher {
  return {
    gives: 'image',
    fetch: async (context) => {
      const { deployment, signal, log } = context
      const { id, image, image_id } = deployment
      await deps.lookAtTag(context)
      if (image === null || image_id === null)
        throw new DeploymentFailed('The image is no longer kept. Deploy the source again.')
      const found = await deps.runtime.findImage(image)
      if (found?.id === image_id) return { image, image_id }
      const restored = await restoreImage(deps.library, { id, image }, signal)
      log(`The engine had lost the image; it is back from ${restored.repository}@${restored.digest}.`)
      return { image, image_id: restored.id, digest: restored.digest }
    },
  }
}
