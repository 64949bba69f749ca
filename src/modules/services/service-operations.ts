import { AppError } from '../../lib/errors.ts'
import type { Page, PageRequest } from '../../lib/page.ts'
import { projectNamed, projectsWith, requirePermission, requirePermissionIn } from '../identity/authorize.ts'
import type { Actor } from '../identity/actor.ts'
import type { Context } from '../identity/context.ts'
import { type Env, type EnvInput, readEnv } from '../secrets/env-schema.ts'
import { createEnvOperations } from './service-env-operations.ts'
import {
  applyServiceInput,
  DEFAULT_SETTINGS,
  requireSamePort,
  type ServiceSettings,
  splitPort,
} from './service-input.ts'
import type { ServiceCreate, ServicePatch, ServiceReplace } from './service-input-schema.ts'
import { createServiceRecords, type ServiceDeps } from './service-record.ts'
import { createRunOperations } from './service-run-operations.ts'
import { showRouting, type ServiceRow, type ServiceSummary } from './service-schema.ts'
import { requireDeploying } from './unattended.ts'
import { type ServiceView, type Workload } from './service-view-schema.ts'

export type ServiceOperations = ReturnType<typeof createServiceOperations>

const DEFAULT_PROJECT = 'default'

/** The verbs on services. */
export function createServiceOperations(deps: ServiceDeps) {
  const { database, store, system } = deps
  const records = createServiceRecords(deps)

  const listRows = (actor: Actor, projectId: string | undefined, page: PageRequest): Page<ServiceSummary> => {
    if (projectId !== undefined) {
      const found = deps.projects.find(projectId)?.id
      requirePermissionIn(actor, 'services.read', found, projectNamed(projectId))
      return store.list({ projects: [projectId] }, page)
    }
    return store.list({ projects: projectsWith(actor, 'services.read') }, page)
  }

  const requireDefaultProject = (actor: Actor): string => {
    const project = deps.projects.findByName(DEFAULT_PROJECT)
    if (project && actor.can('services.write', project.id)) return project.id
    throw new AppError('VALIDATION_ERROR', { details: [{ field: 'project_id', message: 'is required' }] })
  }

  /** Writes settings, a name and perhaps variables over a service; `settle` answers the settings from the row as it is. */
  const write = async (
    context: Context,
    id: string,
    action: string,
    input: ServicePatch,
    settle: (service: ServiceRow) => ServiceSettings,
  ): Promise<ServiceView> => {
    const before = records.requireService(context.actor, 'services.write', id)
    settle(before)
    const env = readSentEnv(context.actor, before.project_id, input.env)
    const sealed = env && (await records.sealEnv(env.env))
    const saved = records.save(context, 'services.write', id, action, (service) => {
      const { source: sent, ...settings } = settle(service)
      requireSamePort(env?.port, settings.config.internal_port, 'env')
      const source = input.source
        ? deps.settleSource(context.actor, service.project_id, sent, service.source)
        : sent
      const name = input.name ?? service.name
      records.requireNameFree(service.project_id, name, id)
      if (input.domains) deps.domains.setHostnames(context, service, input.domains)
      records.requirePaths(service.project_id, settings.routing)
      const row = {
        ...service,
        ...settings,
        source,
        name,
        env_sealed: sealed === undefined ? service.env_sealed : sealed,
      }
      if (input.ingress) records.requireRulesRoom(row)
      requireDeploying(context.actor, service, row, deps.hasWebhook(id))
      return {
        row,
        details: {
          fields: changedFields(service, row),
          ...(name !== service.name && { new_name: name }),
          ...(env && { env_names: Object.keys(env.env) }),
        },
      }
    })
    // Who closes a door is told when it is closed.
    if (saved) await deps.routed()
    return records.view(context.actor, saved ?? before)
  }

  return {
    ...createEnvOperations(deps, records),
    ...createRunOperations(deps, records),

    /** The services that the caller may see, newest first; of one project when it is named. */
    listServices: async (
      context: Context,
      projectId: string | undefined,
      page: PageRequest,
    ): Promise<Page<ServiceView>> => {
      const { items, ...rest } = listRows(context.actor, projectId, page)
      return { ...rest, items: await records.viewList(items) }
    },

    /** One short row for each service that the caller may see. */
    listWorkloads: (context: Context, page: PageRequest): Page<Workload> => {
      const { items, ...rest } = listRows(context.actor, undefined, page)
      return { ...rest, items: records.viewWorkloads(items) }
    },

    /** Adds a service without any release. Throws NAME_TAKEN. */
    createService: async (context: Context, input: ServiceCreate): Promise<ServiceView> => {
      const projectId = input.project_id ?? requireDefaultProject(context.actor)
      const found = deps.projects.find(projectId)?.id
      requirePermissionIn(context.actor, 'services.write', found, projectNamed(projectId))
      const settings = applyServiceInput(DEFAULT_SETTINGS, input)
      const env = readSentEnv(context.actor, projectId, input.env)
      requireSamePort(env?.port, settings.config.internal_port, 'env')
      const sealed = env ? await records.sealEnv(env.env) : null
      const service = database.transact(() => {
        // It may have gone while the variables were sealed.
        if (!deps.projects.find(projectId)) throw new AppError('NOT_FOUND')
        const source = deps.settleSource(context.actor, projectId, settings.source, undefined)
        records.requireNameFree(projectId, input.name)
        const now = system.nowIso()
        const row: ServiceRow = {
          id: system.newId(),
          project_id: projectId,
          name: input.name,
          ...settings,
          source,
          env_sealed: sealed,
          desired_state: 'running',
          live_deployment_id: null,
          canary_deployment_id: null,
          canary_percent: null,
          revision: 1,
          created_at: now,
          updated_at: now,
        }
        requireDeploying(context.actor, undefined, row, false)
        store.insert(row)
        if (input.domains) deps.domains.setHostnames(context, row, input.domains)
        records.requirePaths(projectId, row.routing)
        if (input.ingress) records.requireRulesRoom(row)
        deps.recordAudit(context, {
          action: 'createService',
          resource_kind: 'service',
          resource_id: row.id,
          project_id: projectId,
          details: { name: row.name, env_names: Object.keys(env?.env ?? {}) },
        })
        database.afterCommit(() => deps.serviceChanged(row.id))
        return row
      })
      return records.view(context.actor, service)
    },

    /** One service. */
    getService: async (context: Context, id: string): Promise<ServiceView> =>
      records.view(context.actor, records.requireService(context.actor, 'services.read', id)),

    /** Replaces all settings of a service; variables stay when they are left out. How it runs changes with the next deployment. */
    replaceService: async (context: Context, id: string, input: ServiceReplace): Promise<ServiceView> =>
      write(context, id, 'replaceService', input, (service) =>
        applyServiceInput(DEFAULT_SETTINGS, input, service),
      ),

    /** Changes the settings that are sent. How it runs changes with the next deployment; name, replicas and what the ingress does are in force when this answers. */
    updateService: async (context: Context, id: string, input: ServicePatch): Promise<ServiceView> =>
      write(context, id, 'updateService', input, (service) => applyServiceInput(service, input)),

    /**
     * Deletes a service. From the commit on it is invisible and its name is free; when this returns no request reaches it any more; its
     * containers, images, volumes, logs and uploads go in the background, also after a crash. Throws NOT_EMPTY when it has volumes and their
     * deletion was not asked for, which takes `volumes.write`; its domains take `domains.write`. With `keepImages` what the registry has of it stays; without, what others pushed there
     * goes only when the caller might delete it in the registry, too.
     */
    deleteService: async (
      context: Context,
      id: string,
      options: { keepImages: boolean; deleteVolumes?: boolean },
    ): Promise<void> => {
      records.save(context, 'services.write', id, 'deleteService', (service) => {
        const volumes = deps.listVolumes(id)
        if (volumes.length > 0 && !options.deleteVolumes) throw hasVolumes(volumes)
        if (volumes.length > 0) requirePermission(context.actor, 'volumes.write', service.project_id)
        if (deps.domains.hostnamesOf(id).length > 0)
          requirePermission(context.actor, 'domains.write', service.project_id)
        // Its hostnames are free from the commit on, like its name.
        deps.domains.removeOfService(context, id)
        const kept = options.keepImages ? [] : deps.hideImages(context.actor, service)
        return {
          row: { ...service, name: `~${id}`, desired_state: 'deleting' },
          details: {
            volumes,
            keep_images: options.keepImages,
            ...(kept.length > 0 && { kept_repositories: kept }),
          },
        }
      })
      await deps.removeService(id)
    },
  }
}

function hasVolumes(volumes: readonly string[]): AppError {
  return new AppError('NOT_EMPTY', {
    message: 'The service has volumes. To delete them and all that is in them too, add delete_volumes=true.',
    details: volumes.map((name) => ({ message: `volume ${name}` })),
  })
}

function readSentEnv(
  actor: Actor,
  projectId: string,
  sent: EnvInput | undefined,
): { env: Env; port: string | undefined } | undefined {
  if (sent === undefined) return undefined
  const split = splitPort(readEnv(sent, 'env'))
  requirePermission(actor, 'env.write', projectId)
  return split
}

function changedFields(before: ServiceRow, after: ServiceRow): string[] {
  const flat = (row: ServiceRow): Record<string, unknown> => ({
    ...row.build,
    ...row.config,
    source: row.source,
    autoscale: row.autoscale,
    ...showRouting(row.routing),
    replicas: row.replicas,
    name: row.name,
  })
  const [old, now] = [flat(before), flat(after)]
  return Object.keys(now).filter((field) => JSON.stringify(old[field]) !== JSON.stringify(now[field]))
}
