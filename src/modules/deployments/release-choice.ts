import { AppError } from '../../lib/errors.ts'
import type { ServiceRow } from '../services/service-schema.ts'
import type { DeploymentRow } from './deployment-schema.ts'
import type { DeploymentStore } from './deployment-store.ts'

/** Which earlier release is meant. */
export function createReleaseChoice(store: DeploymentStore) {
  const findLive = (service: ServiceRow): DeploymentRow | undefined =>
    service.live_deployment_id === null ? undefined : store.find(service.live_deployment_id)

  /** A redeployment of a redeployment deploys the same release anew. */
  const originOf = (release: DeploymentRow): DeploymentRow =>
    release.source.type === 'redeploy' ? (store.find(release.source.deployment_id) ?? release) : release

  /**
   * A rollback stands where the release stands that it went back to, so that going back twice goes further back. Making a canary live looks
   * like one, but brings something new.
   */
  const placeOf = ({ source, number }: DeploymentRow): number =>
    source.type === 'rollback' && !wasCanary(source.deployment_id) ? source.number : number

  const wasCanary = (id: string): boolean => (store.find(id)?.canary_percent ?? null) !== null

  return {
    /** The release that runs, as the one that is deployed again. Throws NOTHING_TO_DEPLOY. */
    requireLive: (service: ServiceRow): { live: DeploymentRow; origin: DeploymentRow } => {
      const live = findLive(service)
      if (!live) throw new AppError('NOTHING_TO_DEPLOY')
      return { live, origin: originOf(live) }
    },

    /** The release to go back to: the named one, or the one that was live just before the live one. Throws NOT_FOUND and NOTHING_TO_DEPLOY. */
    requireRollbackTarget: (service: ServiceRow, deploymentId: string | undefined): DeploymentRow => {
      if (deploymentId !== undefined) {
        const target = store.find(deploymentId)
        if (!target || target.service_id !== service.id)
          throw new AppError('NOT_FOUND', {
            details: [{ field: 'deployment_id', message: `${deploymentId} is no deployment of the service` }],
          })
        if (!['Healthy', 'Inactive', 'Stopped'].includes(target.status))
          throw new AppError('NOTHING_TO_DEPLOY', { message: 'That deployment never became a release.' })
        return target
      }
      const live = findLive(service)
      const target = live && store.findReleaseBefore(service.id, placeOf(live))
      if (!target)
        throw new AppError('NOTHING_TO_DEPLOY', { message: 'There is no earlier release to go back to.' })
      return target
    },
  }
}
