import { AppError } from '../../lib/errors.ts'
import { type Page, type PageRequest, pageOf } from '../../lib/page.ts'
import type { Context } from '../identity/context.ts'
import type { ServiceRow } from '../services/service-schema.ts'
import { createDeploymentRecords, type DeploymentRecordDeps } from './deployment-record.ts'
import type {
  DeploymentRequest,
  DeploymentRow,
  DeploymentSource,
  DeploymentView,
} from './deployment-schema.ts'
import { createReleaseChoice } from './release-choice.ts'
import type { ReleaseSettings } from './release-settings.ts'

export interface DeploymentDeps extends DeploymentRecordDeps {
  settings: ReleaseSettings
  /** Marks an upload of the service as taken; throws NOT_FOUND and UPLOAD_USED. Runs inside the caller's transaction. */
  takeUpload: (
    serviceId: string,
    uploadId: string,
    deploymentId: string,
  ) => { sha256: string; size_bytes: number }
  /** Whether a release's image is still there; asked before a release is deployed again. */
  hasImage: (imageId: string) => Promise<boolean>
}

export type DeploymentOperations = ReturnType<typeof createDeploymentOperations>

type UploadRequest = Extract<DeploymentRequest['source'], { type: 'upload' }>
type ReleaseSource = Exclude<DeploymentSource, { type: 'upload' }>

/** The verbs on deployments. */
export function createDeploymentOperations(deps: DeploymentDeps) {
  const { database, store, system } = deps
  const records = createDeploymentRecords(deps)
  const releases = createReleaseChoice(store)

  const viewOne = (deployment: DeploymentRow): DeploymentView & { revision: number } => {
    const [view] = records.view(deployment.service_id, [deployment])
    if (!view) throw new AppError('NOT_FOUND')
    return view
  }

  const deployUpload = async (
    context: Context,
    service: ServiceRow,
    source: UploadRequest,
  ): Promise<DeploymentRow> => {
    const build = deps.settings.buildFor(service, source)
    const settings = await deps.settings.snapshot(service)
    return database.transact(() => {
      const id = system.newId()
      const upload = deps.takeUpload(service.id, source.upload_id, id)
      return records.insert(context, service.id, id, {
        ...settings,
        source: { type: 'upload', upload_id: source.upload_id, ...upload },
        build,
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
    source: ReleaseSource,
  ): Promise<DeploymentRow> => {
    const isThere = release.image_id !== null && (await deps.hasImage(release.image_id))
    const settings =
      source.type === 'rollback'
        ? { config: release.config, env_sealed: release.env_sealed }
        : await deps.settings.snapshot(service)
    return database.transact(() => {
      // The image may have been given up while we asked for it.
      const { image = null, image_id = null } = store.find(release.id) ?? {}
      if (!isThere || image === null || image_id === null) {
        throw new AppError('NOTHING_TO_DEPLOY', {
          message: `The image of deployment ${release.number} is no longer kept. Deploy the source again.`,
        })
      }
      const plan = { ...settings, source, build: release.build, image, image_id }
      return records.insert(context, service.id, system.newId(), plan)
    })
  }

  const rollback = (
    context: Context,
    service: ServiceRow,
    deploymentId: string | undefined,
  ): Promise<DeploymentRow> => {
    const target = releases.requireRollbackTarget(service, deploymentId)
    const source = { type: 'rollback', deployment_id: target.id, number: target.number } as const
    return deployRelease(context, service, target, source)
  }

  const redeploy = (context: Context, service: ServiceRow): Promise<DeploymentRow> => {
    const { live, origin } = releases.requireLive(service)
    const source = { type: 'redeploy', deployment_id: origin.id, number: origin.number } as const
    return deployRelease(context, service, live, source)
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
      const service = records.requireService(context.actor, 'deployments.create', request.service_id)
      return viewOne(await create(context, service, request.source))
    },

    /** Deploys the live release again with the settings of today. */
    redeployService: async (context: Context, serviceId: string) => {
      const service = records.requireService(context.actor, 'deployments.create', serviceId)
      return viewOne(await redeploy(context, service))
    },

    /** Deploys an earlier release, the one before the live one unless it is named, with the settings it had. */
    rollbackService: async (context: Context, serviceId: string, deploymentId: string | undefined) => {
      const service = records.requireService(context.actor, 'deployments.create', serviceId)
      return viewOne(await rollback(context, service, deploymentId))
    },

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
