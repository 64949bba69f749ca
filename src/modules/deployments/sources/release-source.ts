import { AppError } from '../../../lib/errors.ts'
import type { Runtime } from '../../../runtime/runtime.ts'
import type { ServiceRow } from '../../services/service-schema.ts'
import type { DeploymentRow, DeploymentSource } from '../deployment-schema.ts'
import type { DeploymentStore } from '../deployment-store.ts'
import { createReleaseChoice } from '../release-choice.ts'
import type { ReleaseSettings, SettingsSnapshot } from '../release-settings.ts'
import { DeploymentFailed } from '../steps/step.ts'
import type { SourceFetcher } from './source-fetch.ts'
import type { Draft, SourcePlanner } from './source-plan.ts'

export interface ReleasePlanDeps {
  store: DeploymentStore
  settings: ReleaseSettings
  /** Whether a release's image is still there; asked before a release is deployed again. */
  hasImage: (imageId: string) => Promise<boolean>
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
    if (release.image_id === null || !(await deps.hasImage(release.image_id))) throw notKept(release)
    const settings =
      source.type === 'rollback'
        ? pickSettings(release)
        : await deps.settings.snapshot(
            service,
            service.build.env_file === null ? null : release.file_env_sealed,
          )
    return () => ({
      ...settings,
      source,
      build: release.build,
      artifact: { ...imageOf(release), digest: release.digest, commit: release.commit },
      skips: ['build'],
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

/** Finds the image that a release left in the engine. */
export function createReleaseFetcher(runtime: Pick<Runtime, 'findImage'>): SourceFetcher {
  return {
    gives: 'image',
    fetch: async ({ deployment: { image, image_id } }) => {
      const found = image_id === null ? undefined : await runtime.findImage(image_id)
      if (image === null || !found)
        throw new DeploymentFailed('The image is no longer in the engine. Deploy the source again.')
      return { image, image_id: found.id }
    },
  }
}

function pickSettings({
  config,
  env_sealed,
  file_env_sealed,
  inherited_names,
}: DeploymentRow): SettingsSnapshot {
  return { config, env_sealed, file_env_sealed, inherited_names }
}
