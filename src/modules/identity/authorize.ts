import { AppError } from '../../lib/errors.ts'
import type { Actor } from './actor.ts'
import type { Context } from './context.ts'
import type { Permission } from './permissions.ts'

/** What was decided, with the refusal that the client gets. */
export type Verdict = { readonly allowed: true } | { readonly allowed: false; readonly error: AppError }

/** Says to the log and to the audit in which project someone was refused; never to the client, who may not know of it. */
export class DeniedInProject extends Error {
  readonly permission: Permission
  readonly project_id: string

  constructor(permission: Permission, projectId: string) {
    super(`refused: ${permission} in project ${projectId}`)
    this.name = 'DeniedInProject'
    this.permission = permission
    this.project_id = projectId
  }
}

/**
 * Says to the audit whose login was refused; never to the client. The user is given only for an account that exists. No Error: each
 * attempt makes one, and a stack that nobody reads was a third of what a refused login cost the event loop.
 */
export class RefusedLogin {
  readonly user: { readonly id: string; readonly username: string } | undefined

  constructor(user: { readonly id: string; readonly username: string } | undefined) {
    this.user = user
  }
}

/** A request that was refused for who made it. */
export interface Denial {
  /** Undefined when nobody is known. */
  readonly context: Context | undefined
  readonly request_id: string
  readonly client_address: string
  /** The operationId, or method and pattern. */
  readonly action: string
  readonly error: AppError
}

/** Whether an error refuses someone, as the audit log understands it. */
export function isDenial({ status, cause }: AppError): boolean {
  return status === 401 || status === 403 || cause instanceof DeniedInProject || cause instanceof RefusedLogin
}

/**
 * Decides whether the actor has the permission: in the project that was found (undefined: there is none), or without `target` in any.
 * A project that the actor may not see answers NOT_FOUND, as one that does not exist would; one they see answers FORBIDDEN and names the
 * permission.
 */
export function verdictOf(
  actor: Actor,
  permission: Permission,
  target?: { readonly project: string | undefined },
): Verdict {
  if (target === undefined) {
    return actor.can(permission)
      ? { allowed: true }
      : { allowed: false, error: new AppError('FORBIDDEN', { permission }) }
  }
  const { project } = target
  if (project === undefined) return { allowed: false, error: new AppError('NOT_FOUND') }
  if (actor.can(permission, project)) return { allowed: true }
  const cause = new DeniedInProject(permission, project)
  const error = actor.sees(project)
    ? new AppError('FORBIDDEN', { permission, cause })
    : new AppError('NOT_FOUND', { cause })
  return { allowed: false, error }
}

/** The projects in which the actor has the permission: what a list may hold. */
export function projectsWith(actor: Actor, permission: Permission): readonly string[] | 'all' {
  const visible = actor.visibleProjects()
  if (visible === 'all') return actor.can(permission) ? 'all' : []
  return visible.filter((id) => actor.can(permission, id))
}

/** Throws the refusal of `verdictOf` unless the actor has the permission in the project. */
export function requirePermission(actor: Actor, permission: Permission, projectId: string | undefined): void {
  const verdict = verdictOf(actor, permission, { project: projectId })
  if (!verdict.allowed) throw verdict.error
}

/** What a field of a request names, for the words of a refusal. */
export interface Named {
  /** Path of the field, such as `project_id`. */
  field: string
  value: string
  /** What it ought to be: `project`. */
  kind: string
}

/**
 * The same for what a field of the request names, in a project or itself one. The refusal names field and value, and tells just as little: there
 * is no such thing, or the actor may not see it.
 */
export function requirePermissionIn(
  actor: Actor,
  permission: Permission,
  projectId: string | undefined,
  { field, value, kind }: Named,
): void {
  const verdict = verdictOf(actor, permission, { project: projectId })
  if (verdict.allowed) return
  const { code, cause } = verdict.error
  if (code !== 'NOT_FOUND') throw verdict.error
  throw new AppError(code, {
    details: [{ field, message: `${value} is no ${kind} that you may see` }],
    cause,
  })
}

/** What the field `project_id` names. */
export function projectNamed(value: string): Named {
  return { field: 'project_id', value, kind: 'project' }
}
