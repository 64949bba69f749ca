import { AppError } from '../../lib/errors.ts'
import type { Context } from '../identity/context.ts'
import type { ServiceDeps, ServiceRecords } from './service-record.ts'
import { requireOneWriter } from './service-volumes.ts'
import type { ServiceRow } from './service-schema.ts'
import type { ServiceView } from './service-view-schema.ts'

/** The verbs that change how much of a service runs. They record the wish; the reconciler fulfils it. */
export function createRunOperations(deps: ServiceDeps, records: ServiceRecords) {
  const wish = async (
    context: Context,
    id: string,
    action: string,
    change: (service: ServiceRow) => Partial<Pick<ServiceRow, 'replicas' | 'desired_state'>>,
  ): Promise<ServiceView> => {
    const saved = records.save(context, 'services.write', id, action, (service) => {
      const wanted = change(service)
      return { row: { ...service, ...wanted }, details: wanted }
    })
    await deps.routed()
    return records.view(context.actor, saved ?? records.requireService(context.actor, 'services.write', id))
  }

  return {
    /** Sets how many replicas ought to run. Throws VALIDATION_ERROR for several that would write into one volume. */
    scaleService: async (context: Context, id: string, replicas: number): Promise<ServiceView> =>
      wish(context, id, 'scaleService', ({ config }) => {
        requireOneWriter(config, replicas)
        return { replicas }
      }),

    /** Lets the live release run again. Throws NOTHING_TO_DEPLOY when there is none. */
    startService: async (context: Context, id: string): Promise<ServiceView> =>
      wish(context, id, 'startService', (service) => {
        if (service.live_deployment_id === null) throw new AppError('NOTHING_TO_DEPLOY')
        return { desired_state: 'running' }
      }),

    /** Stops all replicas and what is being deployed, which would start them again; the release stays. */
    stopService: async (context: Context, id: string): Promise<ServiceView> =>
      wish(context, id, 'stopService', () => {
        deps.cancelDeployments(id, `Cancelled: the service was stopped by ${context.actor.name}.`)
        return { desired_state: 'stopped' }
      }),

    /** Replaces all replicas by new ones of the same release, without a gap: that is a deployment. */
    restartService: async (
      context: Context,
      id: string,
    ): Promise<{ service: ServiceView; deploymentId: string }> => {
      records.requireService(context.actor, 'services.write', id)
      const deployment = await deps.redeploy(context, id)
      const service = await records.view(
        context.actor,
        records.requireService(context.actor, 'services.write', id),
      )
      return { service, deploymentId: deployment.id }
    },
  }
}
