import { AppError } from '../../lib/errors.ts'
import { requireUnchanged } from '../../lib/revision.ts'
import type { Context } from '../identity/context.ts'
import type { ServiceRow } from '../services/service-schema.ts'
import type { Canary } from '../services/service-view-schema.ts'
import type { AskedHow, DeploymentRecordDeps, DeploymentRecords } from './deployment-record.ts'
import type { DeploymentRequest, DeploymentView } from './deployment-schema.ts'
import { endCanary, type ReleaseCanaryDeps } from './release-canary.ts'

export interface CanaryDeps {
  services: {
    setCanary: ReleaseCanaryDeps['services']['setCanary']
    /** The canary of a service as it is answered; null: it has none. */
    canaryOf: (service: ServiceRow) => Canary | null
  }
  markDraining: ReleaseCanaryDeps['markDraining']
  /** Resolves when every ingress process has the routes of this moment. */
  publishRoutes: () => Promise<void>
  /** Called after a commit that changed which replicas ought to run. */
  replicasChanged: () => void
  onError: (error: unknown) => void
}

/** The verbs on the release that runs beside the live one for a share of the requests. It begins as a deployment with `canary_percent`. */
export function createCanaryOperations(
  deps: CanaryDeps & DeploymentRecordDeps,
  records: DeploymentRecords,
  create: (
    context: Context,
    serviceId: string,
    source: DeploymentRequest['source'],
    how?: Partial<AskedHow>,
  ) => Promise<DeploymentView & { revision: number }>,
) {
  const { database, system } = deps

  const requireCanaryOf = (context: Context, id: string): ServiceRow & { canary_deployment_id: string } => {
    const service = records.requireService(context.actor, 'deployments.create', id)
    const { canary_deployment_id } = service
    if (canary_deployment_id === null)
      throw new AppError('NOT_FOUND', { message: 'The service has no canary.' })
    return { ...service, canary_deployment_id }
  }
  const audit = (
    context: Context,
    action: string,
    service: ServiceRow,
    details: { percent?: number },
  ): void =>
    deps.recordAudit(context, {
      action,
      resource_kind: 'service',
      resource_id: service.id,
      project_id: service.project_id,
      details: { name: service.name, ...details },
    })
  /** A release that was given up must not become live after that, so whatever deploys it goes no further. */
  const cancelPromotions = ({ id, canary_deployment_id }: ServiceRow, reason: string): void => {
    for (const deployment of deps.store.listOpenOfService(id)) {
      const { source, status } = deployment
      if (source.type === 'rollback' && source.deployment_id === canary_deployment_id && status !== 'Healthy')
        records.cancel(deployment, reason)
    }
  }
  /** What has been committed is so; an ingress that cannot be told now is told later. */
  const publish = async (): Promise<void> => {
    deps.replicasChanged()
    await deps.publishRoutes().catch(deps.onError)
  }

  return {
    /**
     * Changes the share of the canary; when this returns, requests are shared so. Throws NOT_FOUND when there is none, DEPLOYS_FROZEN for a
     * larger share during a freeze: 99 % of the requests are as good as all.
     */
    setCanary: async (context: Context, serviceId: string, percent: number): Promise<Canary> => {
      database.transact(() => {
        const service = requireCanaryOf(context, serviceId)
        requireUnchanged(context, service)
        const { canary_deployment_id: deployment_id } = service
        if (percent > (service.canary_percent ?? 0)) deps.requireUnfrozen(service.project_id)
        deps.services.setCanary(serviceId, { deployment_id, percent }, system.nowIso())
        audit(context, 'setCanary', service, { percent })
      })
      await publish()
      const canary = deps.services.canaryOf(requireCanaryOf(context, serviceId))
      if (!canary) throw new AppError('NOT_FOUND')
      return canary
    },

    /** Deploys the release of the canary, which ends when that is live. Nothing is built. Throws NOT_FOUND, and what deployments throw. */
    promoteCanary: (context: Context, serviceId: string) => {
      const { canary_deployment_id } = requireCanaryOf(context, serviceId)
      return create(context, serviceId, { type: 'rollback', deployment_id: canary_deployment_id })
    },

    /**
     * Ends the canary: when this returns it gets no new requests; its replicas finish those that they have. A promotion of it that is not live yet
     * is cancelled. Throws NOT_FOUND when there is none.
     */
    abortCanary: async (context: Context, serviceId: string): Promise<void> => {
      database.transact(() => {
        const service = requireCanaryOf(context, serviceId)
        requireUnchanged(context, service)
        cancelPromotions(service, `Its canary was ended by ${context.actor.name}.`)
        const ended = endCanary(deps, service, 'Cancelled', `Ended by ${context.actor.name}.`)
        audit(context, 'abortCanary', service, {})
        database.afterCommit(() => {
          const row = ended?.step === null ? undefined : deps.store.find(ended?.id ?? '')
          if (row) deps.over(row)
        })
      })
      await publish()
    },
  }
}
