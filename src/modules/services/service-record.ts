import { AppError } from '../../lib/errors.ts'
import { requireUnchanged } from '../../lib/revision.ts'
import type { System } from '../../lib/system.ts'
import { createTurns } from '../../lib/turns.ts'
import type { Database } from '../../store/database.ts'
import type { AuditEntry, RecordAudit } from '../audit/audit.ts'
import type { Actor } from '../identity/actor.ts'
import { requirePermission } from '../identity/authorize.ts'
import type { Context } from '../identity/context.ts'
import type { Permission } from '../identity/permissions.ts'
import { type Env, redactEnv } from '../secrets/env-schema.ts'
import type { Secrets } from '../secrets/secrets.ts'
import { showRouting, type ServiceRow, type ServiceSummary, type ServiceSource } from './service-schema.ts'
import { type ServiceView, type Workload } from './service-view-schema.ts'
import {
  NOTHING_OBSERVED,
  type Observation,
  serviceStatus,
  statusReason,
  viewCanary,
} from './service-status.ts'
import { notesOn } from './service-notes.ts'
import type { ServiceStore } from './service-store.ts'

export interface ServiceDeps {
  database: Database
  store: ServiceStore
  secrets: Secrets
  system: System
  recordAudit: RecordAudit
  projects: {
    find: (id: string) => { id: string; name: string } | undefined
    findByName: (name: string) => { id: string; name: string } | undefined
  }
  /** What is there of each of these services; one that is missing in the answer has nothing. */
  observe: (serviceIds: readonly string[]) => ReadonlyMap<string, Observation>
  /** Deploys the live release again; answers the deployment. */
  redeploy: (context: Context, serviceId: string) => Promise<{ id: string }>
  /** Cancels what of a service waits or is under way and is not live yet, inside the caller's transaction. */
  cancelDeployments: (serviceId: string, reason: string) => void
  /**
   * Takes a service that is marked as deleting out of the ingress, and returns once no request can reach it; whatever else it left is
   * removed in the background, also after a crash.
   */
  removeService: (serviceId: string) => Promise<void>
  /**
   * What the source means for the actor who sends it, instead of the one before. Throws VALIDATION_ERROR unless it can be one of the project's
   * services, and is one that the actor may name.
   */
  settleSource: (
    actor: Actor,
    projectId: string,
    source: ServiceSource,
    before: ServiceSource | undefined,
  ) => ServiceSource
  /** What people should know of a source that is not as it was when it was set. */
  noteOnSource: (projectId: string, source: ServiceSource) => string | undefined
  /** Takes what the registry has of a service out of sight, inside the transaction that deletes it; answers the repositories that stay. */
  hideImages: (actor: Actor, service: ServiceSummary) => string[]
  /** Whether pushes to the repository of a service are deployed. */
  hasWebhook: (serviceId: string) => boolean
  /** Names of the volumes that a service has. */
  listVolumes: (serviceId: string) => readonly string[]
  /** The hostnames attached to services; its verbs run inside the caller's transaction. */
  domains: {
    hostnamesOf: (serviceId: string) => string[]
    setHostnames: (
      context: Context,
      service: { id: string; project_id: string },
      hostnames: readonly string[],
    ) => void
    removeOfService: (context: Context, serviceId: string) => void
  }
  /** Called after a commit that changed what ought to run or to be routed. */
  serviceChanged: (serviceId: string) => void
  /** Resolves when the ingress goes by what has been committed; also when it cannot, which is reported elsewhere. */
  routed: () => Promise<void>
  /** Where a browser finds a service; null when it listens on no port. */
  urlOf: (service: ServiceSummary) => string | null
}

/** All rules of all projects have to fit into what the ingress is handed at once: 32 MiB. */
const MAX_PROJECT_RULES = 1024 * 1024

export type ServiceRecords = ReturnType<typeof createServiceRecords>

/** What the verbs on services share: loading for an actor, saving with an audit event, and the form of an answer. */
export function createServiceRecords(deps: ServiceDeps) {
  const { database, store, secrets, system } = deps

  const requireService = (actor: Actor, permission: Permission, id: string): ServiceRow => {
    const service = store.find(id)
    requirePermission(actor, permission, service?.project_id)
    if (!service) throw new AppError('NOT_FOUND')
    return service
  }
  const namesIn = (sealed: string | null): string[] => (sealed === null ? [] : secrets.names(sealed))
  const envFor = async (actor: Actor, service: ServiceRow): Promise<Env> => {
    const { env_sealed: sealed } = service
    const readable = sealed !== null && actor.can('env.read', service.project_id)
    return readable ? secrets.open(sealed) : redactEnv(namesIn(sealed))
  }
  const form = (service: ServiceSummary, env: Env, observed: Observation): ServiceView => {
    const { build, config, routing, desired_state: _, ...rest } = service
    const status = serviceStatus(service, observed)
    return {
      ...rest,
      ...build,
      ...config,
      ...showRouting(routing),
      domains: deps.domains.hostnamesOf(service.id),
      env,
      status,
      status_reason: statusReason(status, observed),
      canary: viewCanary(service, observed),
      url: deps.urlOf(service),
      notes: notesOn(service, deps.noteOnSource(service.project_id, service.source)),
    }
  }

  return {
    /** The service, for an actor who has the permission in its project; otherwise NOT_FOUND or FORBIDDEN. */
    requireService,
    /** The names of its variables. */
    namesOf: (service: ServiceRow): string[] => namesIn(service.env_sealed),
    /** Its variables as the actor may see them. */
    envFor,

    /** Seals variables for the row; null when there are none. */
    sealEnv: async (env: Env): Promise<string | null> =>
      Object.keys(env).length === 0 ? null : secrets.seal(env),

    /** Throws NAME_TAKEN when another service of the project has the name. */
    requireNameFree: (projectId: string, name: string, except?: string): void => {
      const holder = store.findByName(projectId, name)
      if (!holder || holder.id === except) return
      throw new AppError('NAME_TAKEN', { details: [{ field: 'name', message: 'is taken in this project' }] })
    },

    /** Throws VALIDATION_ERROR when a path is to lead to a service that the project does not have. */
    requirePaths: (projectId: string, routing: ServiceRow['routing']): void => {
      const missing = (routing.ingress?.paths ?? []).flatMap(({ service }, index) =>
        store.findByName(projectId, service)
          ? []
          : [{ field: `ingress.paths.${index}.service`, message: 'is no service of this project' }],
      )
      if (missing.length > 0) throw new AppError('VALIDATION_ERROR', { details: missing })
    },

    /** Throws VALIDATION_ERROR when the rules of all services of the project have become too much. */
    requireRulesRoom: ({ project_id, id, routing }: ServiceRow): void => {
      const length = JSON.stringify(routing).length + store.routingLengthBeside(project_id, id)
      if (length > MAX_PROJECT_RULES)
        throw new AppError('VALIDATION_ERROR', {
          details: [
            {
              field: 'ingress',
              message: `the rules of all services of the project would take ${length} characters; ${MAX_PROJECT_RULES} are allowed`,
            },
          ],
        })
    },

    /**
     * Changes a service in one transaction with its audit event: `change` gets the row as it is there and answers the new one. Throws
     * PRECONDITION_FAILED. Answers undefined, with nothing changed, when `change` does.
     */
    save: (
      context: Context,
      permission: Permission,
      id: string,
      action: string,
      change: (
        service: ServiceRow,
      ) => { row: ServiceRow; details: NonNullable<AuditEntry['details']> } | undefined,
    ): ServiceRow | undefined =>
      database.transact(() => {
        const service = requireService(context.actor, permission, id)
        requireUnchanged(context, service)
        const changed = change(service)
        if (!changed) return undefined
        store.update({ ...changed.row, updated_at: system.nowIso() })
        deps.recordAudit(context, {
          action,
          resource_kind: 'service',
          resource_id: id,
          project_id: service.project_id,
          details: { name: service.name, ...changed.details },
        })
        database.afterCommit(() => deps.serviceChanged(id))
        return store.findAny(id)
      }),

    /** The answer for one service. */
    view: async (actor: Actor, service: ServiceRow): Promise<ServiceView> => {
      const env = await envFor(actor, service)
      const { env_sealed: _, ...summary } = service
      return form(summary, env, deps.observe([service.id]).get(service.id) ?? NOTHING_OBSERVED)
    },

    /**
     * The answers for a list. No list holds values of variables: opening a thousand sets takes seconds, and who only looks around
     * need not be sent them.
     */
    viewList: async (services: readonly ServiceSummary[]): Promise<ServiceView[]> => {
      const observed = deps.observe(services.map((service) => service.id))
      const turns = createTurns(system, 256)
      const views: ServiceView[] = []
      for (const service of services) {
        const sealed = store.sealedEnvOf(service.id)
        await turns.take(sealed?.length ?? 0)
        views.push(form(service, redactEnv(namesIn(sealed)), observed.get(service.id) ?? NOTHING_OBSERVED))
      }
      return views
    },

    /** One short row for each service. */
    viewWorkloads: (services: readonly ServiceSummary[]): Workload[] => {
      const observed = deps.observe(services.map((service) => service.id))
      return services.map((service) => {
        const seen = observed.get(service.id) ?? NOTHING_OBSERVED
        const status = serviceStatus(service, seen)
        return {
          service_id: service.id,
          project_id: service.project_id,
          project_name: deps.projects.find(service.project_id)?.name ?? '',
          name: service.name,
          status,
          status_reason: statusReason(status, seen),
          replicas: service.replicas,
          healthy_replicas: seen.healthy,
          url: deps.urlOf(service),
        }
      })
    },
  }
}
