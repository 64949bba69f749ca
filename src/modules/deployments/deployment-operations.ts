import { AppError } from '../../lib/errors.ts'
import { type Page, type PageRequest, pageOf } from '../../lib/page.ts'
import { requirePermissionIn } from '../identity/authorize.ts'
import type { Context } from '../identity/context.ts'
import type { ServiceRow } from '../services/service-schema.ts'
import { type CanaryDeps, createCanaryOperations } from './canary-operations.ts'
import { type AskedHow, createDeploymentRecords, type DeploymentRecordDeps } from './deployment-record.ts'
import type {
  DeploymentRequest,
  DeploymentRow,
  DeploymentTrigger,
  DeploymentView,
} from './deployment-schema.ts'
import { createImagePlanner, type ImagePlanDeps } from './sources/image-source.ts'
import { createReleasePlanners, type ReleasePlanDeps } from './sources/release-source.ts'
import { createGitPlanner, type GitPlanDeps } from './sources/git-source.ts'
import type { Draft } from './sources/source-plan.ts'
import { createUploadPlanner, type UploadPlanDeps } from './sources/upload-source.ts'

export type DeploymentDeps = DeploymentRecordDeps &
  CanaryDeps &
  UploadPlanDeps &
  GitPlanDeps &
  ImagePlanDeps &
  ReleasePlanDeps

export type DeploymentOperations = ReturnType<typeof createDeploymentOperations>

const DEFAULT_HOW: AskedHow = { trigger: { kind: 'user' }, overridesFreeze: false, canaryPercent: null }

type RequestedSource = DeploymentRequest['source']

/** The verbs on deployments. */
export function createDeploymentOperations(deps: DeploymentDeps) {
  const { database, store } = deps
  const records = createDeploymentRecords(deps)

  const viewOne = (deployment: DeploymentRow): DeploymentView & { revision: number } => {
    const [view] = records.view(deployment.service_id, [deployment])
    if (!view) throw new AppError('NOT_FOUND')
    return view
  }

  const planners = {
    upload: createUploadPlanner(deps),
    git: createGitPlanner(deps),
    external_image: createImagePlanner(deps),
    ...createReleasePlanners(deps),
  }

  const plan = ({ actor }: Context, service: ServiceRow, source: RequestedSource): Promise<Draft> => {
    switch (source.type) {
      case 'upload':
        return planners.upload(service, source)
      case 'git':
        return planners.git(service, source)
      case 'external_image':
        return planners.external_image(service, source.image, actor)
      case 'redeploy':
        return planners.redeploy(service, source)
      case 'rollback':
        return planners.rollback(service, source)
    }
  }

  const create = async (
    context: Context,
    serviceId: string,
    source: RequestedSource,
    how: Partial<AskedHow> = {},
  ): Promise<DeploymentView & { revision: number }> => {
    const service = records.requireService(context.actor, 'deployments.create', serviceId)
    const draft = await plan(context, service, source)
    return viewOne(
      database.transact(() => records.insert(context, service.id, draft, { ...DEFAULT_HOW, ...how })),
    )
  }

  return {
    ...createCanaryOperations(deps, records, create),

    /** Asks for a release; it is made in the background. Throws UPLOAD_USED, NOTHING_TO_DEPLOY, DEPLOYS_FROZEN, VALIDATION_ERROR, and what `requireCanary` throws. */
    createDeployment: (
      context: Context,
      request: DeploymentRequest,
      trigger: DeploymentTrigger = { kind: 'user' },
    ) => {
      const overridesFreeze = request.override_freeze === true
      if (overridesFreeze && !context.actor.is_super_admin)
        throw new AppError('FORBIDDEN', { permission: 'super_admin' })
      const canaryPercent = request.canary_percent ?? null
      const { service_id: value } = request
      const found = deps.services.find(value)?.project_id
      requirePermissionIn(context.actor, 'deployments.create', found, {
        field: 'service_id',
        value,
        kind: 'service',
      })
      return create(context, value, request.source, { trigger, overridesFreeze, canaryPercent })
    },

    /** Deploys the live release again with the settings of today. */
    redeployService: (context: Context, serviceId: string) =>
      create(context, serviceId, { type: 'redeploy' }),

    /** Deploys an earlier release, the one before the live one unless it is named, with the settings it had. */
    rollbackService: (context: Context, serviceId: string, deploymentId: string | undefined) =>
      create(context, serviceId, {
        type: 'rollback',
        ...(deploymentId !== undefined && { deployment_id: deploymentId }),
      }),

    /** One deployment. */
    getDeployment: (context: Context, id: string) =>
      viewOne(records.requireDeployment(context.actor, 'deployments.read', id)),

    /** Deployments of a service, newest first. */
    listDeployments: (context: Context, serviceId: string, page: PageRequest): Page<DeploymentView> => {
      records.requireService(context.actor, 'deployments.read', serviceId)
      const rows = store.listByService(serviceId, page.after ?? null, page.limit + 1)
      const { items, ...rest } = pageOf(rows, page.limit, (row) => row.id)
      return { ...rest, items: records.view(serviceId, items) }
    },

    /** Stops a deployment that is not live yet. Throws DEPLOYMENT_OVER. Repeating it is fine. */
    cancelDeployment: (context: Context, id: string) =>
      database.transact(() => {
        const deployment = records.requireDeployment(context.actor, 'deployments.cancel', id)
        if (deployment.step === null) throw new AppError('DEPLOYMENT_OVER')
        if (deployment.status === 'Healthy') {
          throw new AppError('DEPLOYMENT_OVER', {
            message: 'The deployment is live already; roll back instead.',
          })
        }
        records.cancel(deployment, `Cancelled by ${context.actor.name}.`)
        deps.recordAudit(context, {
          action: 'cancelDeployment',
          resource_kind: 'deployment',
          resource_id: id,
          project_id: deployment.project_id,
          details: { number: deployment.number },
        })
        return viewOne(records.requireDeployment(context.actor, 'deployments.cancel', id))
      }),

    /** Cancels what waits or is under way of a service that is being stopped or deleted. What is live already is left to go on. */
    cancelOfService: (serviceId: string, reason: string): void =>
      database.transact(() => {
        for (const deployment of store.listOpenOfService(serviceId)) {
          if (deployment.status !== 'Healthy') records.cancel(deployment, reason)
        }
      }),
  }
}
