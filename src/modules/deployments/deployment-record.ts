import { AppError } from '../../lib/errors.ts'
import type { System } from '../../lib/system.ts'
import type { Database } from '../../store/database.ts'
import type { RecordAudit } from '../audit/audit.ts'
import { type Actor, recordActor } from '../identity/actor.ts'
import { requirePermission } from '../identity/authorize.ts'
import type { Context } from '../identity/context.ts'
import type { Permission } from '../identity/permissions.ts'
import type { ServiceRow } from '../services/service-schema.ts'
import {
  type DeploymentRow,
  type DeploymentTrigger,
  type DeploymentView,
  type Step,
  STEPS,
} from './deployment-schema.ts'
import type { DeploymentStore } from './deployment-store.ts'
import { requireCanary } from './release-canary.ts'
import { viewDeployment } from './deployment-view.ts'
import type { Blueprint, Draft } from './sources/source-plan.ts'

export interface DeploymentRecordDeps {
  database: Database
  system: System
  store: DeploymentStore
  recordAudit: RecordAudit
  services: {
    find: (id: string) => ServiceRow | undefined
    urlOf: (service: ServiceRow) => string | null
  }
  /** Throws DEPLOYS_FROZEN while deployments of the project are refused; `advice` then says what to do instead. */
  requireUnfrozen: (projectId: string, advice?: string) => void
  /** Called after a commit that added a deployment or asked for a cancellation. */
  deploymentsChanged: () => void
  /** Called after a commit that ended a deployment which had not begun. */
  over: (deployment: DeploymentRow) => void
}

/** How a deployment is asked for, besides what it is made from. */
export interface AskedHow {
  trigger: DeploymentTrigger
  /** Whether it goes ahead although deployments are frozen. */
  overridesFreeze: boolean
  /** The share of the requests that it gets beside the live release; null: it becomes the live one. */
  canaryPercent: number | null
}

/**
 * A rollback does not run the release command of old: it has run for that release already, and what it does to a database of today
 * must not stand between people and the release that worked.
 */
function skippedBy(
  { config, source }: Pick<DeploymentRow, 'config' | 'source'>,
  { canaryPercent }: Pick<AskedHow, 'canaryPercent'>,
): Step[] {
  const isNeedless = config.release_command === null || source.type === 'rollback'
  // A canary replaces nothing.
  return [
    ...(isNeedless ? ['release_command' as const] : []),
    ...(canaryPercent === null ? [] : ['retire' as const]),
  ]
}

export type DeploymentRecords = ReturnType<typeof createDeploymentRecords>

/** What the verbs on deployments share: loading for an actor, adding and cancelling rows, and the form of an answer. */
export function createDeploymentRecords(deps: DeploymentRecordDeps) {
  const { database, store, system } = deps

  const requireService = (actor: Actor, permission: Permission, id: string): ServiceRow => {
    const service = deps.services.find(id)
    requirePermission(actor, permission, service?.project_id)
    if (!service) throw new AppError('NOT_FOUND')
    return service
  }

  /** Ends a deployment that still waits. */
  const cancelWaiting = (waiting: DeploymentRow, reason: string): void => {
    store.finish(waiting.id, 'Cancelled', reason, system.nowIso())
    database.afterCommit(() => {
      const ended = store.find(waiting.id)
      if (ended) deps.over(ended)
    })
  }

  /**
   * Throws DEPLOYS_FROZEN unless it changes nothing that anybody would notice: what was live before may always come back, and what is live may be started
   * anew as it is. A canary never was; making it live is a deployment like any other.
   */
  const requireAllowed = (
    service: ServiceRow,
    { source, again }: Pick<Blueprint, 'source' | 'again'>,
  ): void => {
    const target = source.type === 'rollback' ? store.find(source.deployment_id) : undefined
    if (target !== undefined && target.canary_percent === null) return
    if (again?.id !== service.live_deployment_id) return deps.requireUnfrozen(service.project_id)
    if (again.changes.length === 0) return
    deps.requireUnfrozen(
      service.project_id,
      `It would also deploy what was changed since deployment ${again.number}: ${again.changes.join(', ')}. A rollback to deployment ${again.number} starts that anew as it is.`,
    )
  }

  return {
    requireService,

    requireDeployment: (actor: Actor, permission: Permission, id: string): DeploymentRow => {
      const deployment = store.find(id)
      requirePermission(actor, permission, deployment?.project_id)
      if (!deployment || !deps.services.find(deployment.service_id)) throw new AppError('NOT_FOUND')
      return deployment
    },

    /** The answers for deployments of one service. */
    view: (serviceId: string, deployments: readonly DeploymentRow[]) => {
      const service = deps.services.find(serviceId)
      const around = {
        live_deployment_id: service?.live_deployment_id ?? null,
        url: service ? deps.services.urlOf(service) : null,
      }
      const steps = Map.groupBy(
        store.listSteps(deployments.map(({ id }) => id)),
        (step) => step.deployment_id,
      )
      return deployments.map((deployment): DeploymentView & { revision: number } =>
        viewDeployment(deployment, steps.get(deployment.id) ?? [], around),
      )
    },

    /**
     * Adds a deployment, inside the caller's transaction, and cancels those of the service that still wait: only the newest one matters.
     * Throws NOT_FOUND when the service has gone since it was read, and what the draft throws.
     */
    insert: (context: Context, serviceId: string, draft: Draft, how: AskedHow): DeploymentRow => {
      const { trigger, overridesFreeze, canaryPercent } = how
      const id = system.newId()
      const { skips: skipped, artifact, env, again, ...plan } = draft(id)
      const skips = [...skipped, ...skippedBy(plan, how)]
      const service = deps.services.find(serviceId)
      if (!service) throw new AppError('NOT_FOUND')
      if (!overridesFreeze) requireAllowed(service, { source: plan.source, ...(again && { again }) })
      if (canaryPercent !== null) requireCanary(service, plan.config)
      const number = store.nextNumber(service.id)
      for (const other of store.listOpenOfService(service.id)) {
        if (other.status === 'Pending') cancelWaiting(other, `Superseded by deployment ${number}.`)
      }
      const now = system.nowIso()
      const row: DeploymentRow = {
        id,
        service_id: service.id,
        project_id: service.project_id,
        number,
        status: 'Pending',
        step: STEPS.find((step) => !skips.includes(step)) ?? null,
        ...plan,
        image: null,
        image_id: null,
        digest: null,
        commit: null,
        tag: null,
        ...artifact,
        trigger,
        reason: null,
        created_by: recordActor(context.actor),
        canary_percent: canaryPercent,
        cancel_requested: false,
        replaces_id: null,
        stop_first_at: null,
        routed_at: null,
        revision: 1,
        created_at: now,
        updated_at: now,
        finished_at: null,
      }
      store.insert(row, env)
      for (const step of skips) store.skipStep(id, step, now)
      deps.recordAudit(context, {
        action: 'createDeployment',
        resource_kind: 'deployment',
        resource_id: id,
        project_id: service.project_id,
        details: {
          service: service.name,
          number,
          source: plan.source.type,
          ...(overridesFreeze && { override_freeze: true }),
          ...(canaryPercent !== null && { canary_percent: canaryPercent }),
        },
      })
      database.afterCommit(deps.deploymentsChanged)
      return row
    },

    /** Asks a deployment that is not live yet to end, inside the caller's transaction; one that still waits ends at once. */
    cancel: (deployment: DeploymentRow, reason: string): void => {
      if (deployment.status === 'Pending') cancelWaiting(deployment, reason)
      else store.requestCancel(deployment.id, reason, system.nowIso())
      database.afterCommit(deps.deploymentsChanged)
    },
  }
}
