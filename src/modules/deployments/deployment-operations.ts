import { AppError } from '../../lib/errors.ts'
import { type Page, type PageRequest, pageOf } from '../../lib/page.ts'
import type { System } from '../../lib/system.ts'
import type { Database } from '../../store/database.ts'
import type { RecordAudit } from '../audit/audit.ts'
import { type Actor, recordActor } from '../identity/actor.ts'
import { requirePermission } from '../identity/authorize.ts'
import type { Context } from '../identity/context.ts'
import type { Permission } from '../identity/permissions.ts'
import type { ServiceBuild, ServiceRow } from '../services/service-schema.ts'
import type {
  DeploymentRequest,
  DeploymentRow,
  DeploymentSource,
  DeploymentView,
} from './deployment-schema.ts'
import type { DeploymentStore } from './deployment-store.ts'
import { viewDeployment } from './deployment-view.ts'
import type { ReleaseSettings } from './release-settings.ts'

export interface DeploymentDeps {
  database: Database
  system: System
  store: DeploymentStore
  recordAudit: RecordAudit
  services: {
    find: (id: string) => ServiceRow | undefined
    urlOf: (service: ServiceRow) => string
  }
  settings: ReleaseSettings
  /** Marks an upload of the service as taken; throws NOT_FOUND and UPLOAD_USED. Runs inside the caller's transaction. */
  takeUpload: (
    serviceId: string,
    uploadId: string,
    deploymentId: string,
  ) => { sha256: string; size_bytes: number }
  /** Whether a release's image is still there; asked before a release is deployed again. */
  hasImage: (imageId: string) => Promise<boolean>
  /** Called after a commit that added a deployment or asked for a cancellation. */
  deploymentsChanged: () => void
  /** Called after a commit that ended a deployment which had not begun. */
  over: (deployment: DeploymentRow) => void
}

export type DeploymentOperations = ReturnType<typeof createDeploymentOperations>

/** What a deployment is made of before it has an id. */
interface Blueprint {
  source: DeploymentSource
  build: ServiceBuild
  image: string | null
  image_id: string | null
  config: DeploymentRow['config']
  env_sealed: string | null
}

/** The verbs on deployments. */
export function createDeploymentOperations(deps: DeploymentDeps) {
  const { database, store, system } = deps

  const requireService = (actor: Actor, permission: Permission, id: string): ServiceRow => {
    const service = deps.services.find(id)
    requirePermission(actor, permission, service?.project_id)
    if (!service) throw new AppError('NOT_FOUND')
    return service
  }
  const requireDeployment = (actor: Actor, permission: Permission, id: string): DeploymentRow => {
    const deployment = store.find(id)
    requirePermission(actor, permission, deployment?.project_id)
    if (!deployment || !deps.services.find(deployment.service_id)) throw new AppError('NOT_FOUND')
    return deployment
  }
  const view = (deployment: DeploymentRow): DeploymentView & { revision: number } => {
    const service = deps.services.find(deployment.service_id)
    return viewDeployment(deployment, store.listSteps(deployment.id), {
      live_deployment_id: service?.live_deployment_id ?? null,
      url: service ? deps.services.urlOf(service) : '',
    })
  }

  /** Ends a deployment that still waits. */
  const cancelWaiting = (waiting: DeploymentRow, reason: string, now: string): void => {
    store.finish(waiting.id, 'Cancelled', reason, now)
    database.afterCommit(() => {
      const ended = store.find(waiting.id)
      if (ended) deps.over(ended)
    })
  }

  /** Adds the row, and cancels those of the service that still wait: only the newest one matters. */
  const insert = (context: Context, service: ServiceRow, id: string, plan: Blueprint): DeploymentRow => {
    const now = system.nowIso()
    const number = store.nextNumber(service.id)
    for (const waiting of store.listOpenOfService(service.id)) {
      if (waiting.status === 'Pending') cancelWaiting(waiting, `Superseded by deployment ${number}.`, now)
    }
    const row: DeploymentRow = {
      id,
      service_id: service.id,
      project_id: service.project_id,
      number,
      status: 'Pending',
      step: plan.image_id === null ? 'fetch' : 'start',
      ...plan,
      reason: null,
      created_by: recordActor(context.actor),
      cancel_requested: false,
      replaces_id: null,
      revision: 1,
      created_at: now,
      updated_at: now,
      finished_at: null,
    }
    store.insert(row)
    if (plan.image_id !== null) for (const step of ['fetch', 'build'] as const) store.skipStep(id, step, now)
    deps.recordAudit(context, {
      action: 'createDeployment',
      resource_kind: 'deployment',
      resource_id: id,
      project_id: service.project_id,
      details: { service: service.name, number, source: plan.source.type },
    })
    database.afterCommit(deps.deploymentsChanged)
    return row
  }

  const deployUpload = async (
    context: Context,
    service: ServiceRow,
    source: Extract<DeploymentRequest['source'], { type: 'upload' }>,
  ): Promise<DeploymentRow> => {
    const settings = await deps.settings.snapshot(service)
    return database.transact(() => {
      const id = system.newId()
      const upload = deps.takeUpload(service.id, source.upload_id, id)
      return insert(context, service, id, {
        ...settings,
        source: { type: 'upload', upload_id: source.upload_id, ...upload },
        build: deps.settings.buildFor(service, source),
        image: null,
        image_id: null,
      })
    })
  }

  /** Deploys the image of `release` again: with the service's settings of today, or with those that the release had. */
  const deployRelease = async (
    context: Context,
    service: ServiceRow,
    release: DeploymentRow,
    type: 'redeploy' | 'rollback',
  ): Promise<DeploymentRow> => {
    const { image, image_id } = release
    if (image === null || image_id === null || !(await deps.hasImage(image_id))) {
      throw new AppError('NOTHING_TO_DEPLOY', {
        message: `The image of deployment ${release.number} is no longer kept. Deploy the source again.`,
      })
    }
    const settings =
      type === 'rollback'
        ? { config: release.config, env_sealed: release.env_sealed }
        : await deps.settings.snapshot(service)
    return database.transact(() =>
      insert(context, service, system.newId(), {
        ...settings,
        source: { type, deployment_id: release.id, number: release.number },
        build: release.build,
        image,
        image_id,
      }),
    )
  }

  const requireRollbackTarget = (service: ServiceRow, deploymentId: string | undefined): DeploymentRow => {
    if (deploymentId !== undefined) {
      const target = store.find(deploymentId)
      if (!target || target.service_id !== service.id) throw new AppError('NOT_FOUND')
      if (target.image_id === null || !['Healthy', 'Inactive', 'Stopped'].includes(target.status)) {
        throw new AppError('NOTHING_TO_DEPLOY', { message: 'That deployment never became a release.' })
      }
      return target
    }
    const live = service.live_deployment_id === null ? undefined : store.find(service.live_deployment_id)
    const target = live && store.findReleaseBefore(service.id, releaseNumber(live))
    if (!target)
      throw new AppError('NOTHING_TO_DEPLOY', { message: 'There is no earlier release to go back to.' })
    return target
  }

  const rollback = (
    context: Context,
    service: ServiceRow,
    deploymentId: string | undefined,
  ): Promise<DeploymentRow> =>
    deployRelease(context, service, requireRollbackTarget(service, deploymentId), 'rollback')

  const redeploy = (context: Context, service: ServiceRow): Promise<DeploymentRow> => {
    const live = service.live_deployment_id === null ? undefined : store.find(service.live_deployment_id)
    if (!live) throw new AppError('NOTHING_TO_DEPLOY')
    return deployRelease(context, service, live, 'redeploy')
  }

  const create = (
    context: Context,
    service: ServiceRow,
    source: DeploymentRequest['source'],
  ): Promise<DeploymentRow> => {
    switch (source.type) {
      case 'upload':
        return deployUpload(context, service, source)
      case 'redeploy':
        return redeploy(context, service)
      case 'rollback':
        return rollback(context, service, source.deployment_id)
      default:
        throw new AppError('NOT_SUPPORTED', {
          details: [
            { field: 'source.type', message: `${source.type} is not supported by this version; use upload` },
          ],
        })
    }
  }

  return {
    /** Asks for a release; it is made in the background. Throws UPLOAD_USED, NOTHING_TO_DEPLOY and NOT_SUPPORTED. */
    createDeployment: async (context: Context, request: DeploymentRequest) => {
      const service = requireService(context.actor, 'deployments.create', request.service_id)
      return view(await create(context, service, request.source))
    },

    /** Deploys the live release again with the settings of today. */
    redeployService: async (context: Context, serviceId: string) =>
      view(await redeploy(context, requireService(context.actor, 'deployments.create', serviceId))),

    /** Deploys an earlier release, the one before the live one unless it is named, with the settings it had. */
    rollbackService: async (context: Context, serviceId: string, deploymentId: string | undefined) =>
      view(
        await rollback(context, requireService(context.actor, 'deployments.create', serviceId), deploymentId),
      ),

    /** One deployment. */
    getDeployment: (context: Context, id: string) =>
      view(requireDeployment(context.actor, 'deployments.read', id)),

    /** Deployments of a service, newest first. */
    listDeployments: (context: Context, serviceId: string, page: PageRequest): Page<DeploymentView> => {
      requireService(context.actor, 'deployments.read', serviceId)
      const rows = store.listByService(serviceId, page.after ?? null, page.limit + 1)
      const { items, ...rest } = pageOf(rows, page.limit, (row) => row.id)
      return { ...rest, items: items.map(view) }
    },

    /** Stops a deployment that is not live yet. Throws DEPLOYMENT_OVER. Repeating it is fine. */
    cancelDeployment: (context: Context, id: string) =>
      database.transact(() => {
        const deployment = requireDeployment(context.actor, 'deployments.cancel', id)
        if (deployment.step === null) throw new AppError('DEPLOYMENT_OVER')
        if (deployment.step === 'retire') {
          throw new AppError('DEPLOYMENT_OVER', {
            message: 'The deployment is live already; roll back instead.',
          })
        }
        const now = system.nowIso()
        const reason = `Cancelled by ${context.actor.name}.`
        if (deployment.status === 'Pending') cancelWaiting(deployment, reason, now)
        else store.requestCancel(id, reason, now)
        deps.recordAudit(context, {
          action: 'cancelDeployment',
          resource_kind: 'deployment',
          resource_id: id,
          project_id: deployment.project_id,
          details: { number: deployment.number },
        })
        database.afterCommit(deps.deploymentsChanged)
        return view(requireDeployment(context.actor, 'deployments.cancel', id))
      }),
  }
}

/** A rollback stands for the release that it went back to, so that going back twice goes further back. */
function releaseNumber(deployment: DeploymentRow): number {
  return deployment.source.type === 'upload' ? deployment.number : deployment.source.number
}
