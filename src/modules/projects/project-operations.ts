import { AppError } from '../../lib/errors.ts'
import type { Page, PageRequest } from '../../lib/page.ts'
import { requireUnchanged } from '../../lib/revision.ts'
import type { System } from '../../lib/system.ts'
import { createTurns } from '../../lib/turns.ts'
import type { Database } from '../../store/database.ts'
import type { AuditContext, RecordAudit } from '../audit/audit.ts'
import type { Actor } from '../identity/actor.ts'
import { projectsWith, requirePermission } from '../identity/authorize.ts'
import type { Context } from '../identity/context.ts'
import { type Env, readEnv, redactEnv } from '../secrets/env-schema.ts'
import type { Secrets } from '../secrets/secrets.ts'
import type {
  ProjectCreate,
  ProjectReplace,
  ProjectRow,
  ProjectSummary,
  ProjectView,
} from './project-schema.ts'
import type { ProjectStore } from './project-store.ts'
import { mergeLimits } from './resource-limits-schema.ts'

export interface ProjectDeps {
  database: Database
  store: ProjectStore
  secrets: Secrets
  system: System
  recordAudit: RecordAudit
  /** What a project still holds, one line for people each (`service web`); it can be deleted when there is none. */
  contentsOf: (projectId: string) => string[]
  /** Called in the transaction that deletes a project: takes its name out of what stays. */
  forgetProject: (context: AuditContext, projectId: string) => void
  /** Called after a commit that renamed the project or changed what its services inherit. */
  projectChanged: (projectId: string) => void
  /** Called after a commit that deleted the project: its network and whatever else is derived from it may go. */
  projectDeleted: (projectId: string) => void
}

export type ProjectOperations = ReturnType<typeof createProjectOperations>

const DEFAULT_PROJECT = 'default'

/** The verbs on projects. */
export function createProjectOperations(deps: ProjectDeps) {
  const { database, store, secrets, system, recordAudit } = deps

  const requireProject = (id: string): ProjectRow => {
    const project = store.load(id)
    if (!project) throw new AppError('NOT_FOUND')
    return project
  }
  const requireNameFree = (name: string, except?: string): void => {
    const holder = store.findByName(name)
    if (holder && holder.id !== except)
      throw new AppError('NAME_TAKEN', { details: [{ field: 'name', message: 'is taken' }] })
  }
  const sealEnv = async (env: Env): Promise<string | null> =>
    Object.keys(env).length === 0 ? null : secrets.seal(env)
  const redacted = (project: ProjectSummary, sealed: string | null): ProjectView => ({
    ...project,
    shared_env: redactEnv(sealed === null ? [] : secrets.names(sealed)),
  })
  const view = async (actor: Actor, project: ProjectRow): Promise<ProjectView> => {
    const { shared_env_sealed: sealed, ...rest } = project
    if (sealed === null || !actor.can('env.read', project.id)) return redacted(rest, sealed)
    return { ...rest, shared_env: await secrets.open(sealed) }
  }
  const insert = (
    context: AuditContext,
    project: Pick<ProjectRow, 'name'> & Partial<ProjectRow>,
    envNames: string[],
  ): ProjectRow => {
    requireNameFree(project.name)
    const now = system.nowIso()
    const row: ProjectRow = {
      id: system.newId(),
      description: '',
      shared_env_sealed: null,
      default_resource_limits: null,
      ...project,
      revision: 1,
      created_at: now,
      updated_at: now,
    }
    store.insert(row)
    recordAudit(context, {
      action: 'createProject',
      resource_kind: 'project',
      resource_id: row.id,
      project_id: row.id,
      details: { name: row.name, env_names: envNames },
    })
    return row
  }

  return {
    /** The projects that the caller may see, newest first. Values of shared_env are never in a list. */
    listProjects: async (context: Context, page: PageRequest): Promise<Page<ProjectView>> => {
      const { items, ...rest } = store.list(projectsWith(context.actor, 'projects.read'), page)
      const turns = createTurns(system, 256)
      const views: ProjectView[] = []
      for (const project of items) {
        const sealed = store.sealedEnvOf(project.id)
        await turns.take(sealed?.length ?? 0)
        views.push(redacted(project, sealed))
      }
      return { ...rest, items: views }
    },

    /** Adds a project. Throws NAME_TAKEN. */
    createProject: async (context: Context, input: ProjectCreate): Promise<ProjectView> => {
      const env = readSharedEnv(input.shared_env ?? {})
      const sealed = await sealEnv(env)
      const project = database.transact(() =>
        insert(
          context,
          {
            name: input.name,
            description: input.description ?? '',
            shared_env_sealed: sealed,
            default_resource_limits: mergeLimits(null, input.default_resource_limits ?? null),
          },
          Object.keys(env),
        ),
      )
      return view(context.actor, project)
    },

    /** One project; NOT_FOUND also when the caller may not see it. */
    getProject: async (context: Context, id: string): Promise<ProjectView> => {
      requirePermission(context.actor, 'projects.read', id)
      return view(context.actor, requireProject(id))
    },

    /** Replaces what a project says of itself. Throws NAME_TAKEN and PRECONDITION_FAILED. */
    replaceProject: async (context: Context, id: string, input: ProjectReplace): Promise<ProjectView> => {
      requirePermission(context.actor, 'projects.write', id)
      const env = input.shared_env === undefined ? undefined : readSharedEnv(input.shared_env)
      if (env) requirePermission(context.actor, 'env.write', id)
      const sealed = env && (await sealEnv(env))
      const changed = database.transact(() => {
        const project = requireProject(id)
        requireUnchanged(context, project)
        const name = input.name ?? project.name
        requireNameFree(name, id)
        store.update({
          ...project,
          name,
          description: input.description ?? '',
          shared_env_sealed: sealed === undefined ? project.shared_env_sealed : sealed,
          default_resource_limits: mergeLimits(null, input.default_resource_limits ?? null),
          updated_at: system.nowIso(),
        })
        recordAudit(context, {
          action: 'replaceProject',
          resource_kind: 'project',
          resource_id: id,
          project_id: id,
          details: { name, ...(env && { env_names: Object.keys(env) }) },
        })
        database.afterCommit(() => deps.projectChanged(id))
        return requireProject(id)
      })
      return view(context.actor, changed)
    },

    /** Removes an empty project. Throws NOT_EMPTY, which lists what is left. */
    deleteProject: async (context: Context, id: string): Promise<void> => {
      requirePermission(context.actor, 'projects.write', id)
      database.transact(() => {
        const project = requireProject(id)
        requireUnchanged(context, project)
        const left = deps.contentsOf(id)
        if (left.length > 0)
          throw new AppError('NOT_EMPTY', { details: left.map((message) => ({ message })) })
        store.remove(id)
        deps.forgetProject(context, id)
        recordAudit(context, {
          action: 'deleteProject',
          resource_kind: 'project',
          resource_id: id,
          project_id: id,
          details: { name: project.name },
        })
        database.afterCommit(() => deps.projectDeleted(id))
      })
    },

    /** Makes the project `default` on a node that has no project at all. */
    ensureDefaultProject: (context: AuditContext): void => {
      database.transact(() => {
        if (store.isEmpty()) insert(context, { name: DEFAULT_PROJECT }, [])
      })
    },
  }
}

function readSharedEnv(input: Record<string, unknown> | unknown[]): Env {
  const env = readEnv(input, 'shared_env')
  if ('PORT' in env) {
    throw new AppError('VALIDATION_ERROR', {
      details: [
        { field: 'shared_env.PORT', message: "is set for each service to the service's own internal_port" },
      ],
    })
  }
  return env
}
