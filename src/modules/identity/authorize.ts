import { AppError } from '../../lib/errors.ts'
import type { Actor } from './actor.ts'
import type { Permission } from './permissions.ts'

/** What was decided, with the refusal that the client gets. */
export type Verdict = { readonly allowed: true } | { readonly allowed: false; readonly error: AppError }

/** Says in the log and to the audit that something was there and stayed hidden; never to the client. */
export class HiddenFromActor extends Error {
  readonly permission: Permission
  readonly project_id: string

  constructor(permission: Permission, projectId: string) {
    super(`hidden from the caller: ${permission} in project ${projectId}`)
    this.name = 'HiddenFromActor'
    this.permission = permission
    this.project_id = projectId
  }
}

/** Says to the audit whose login was refused; never to the client. The name is given only for an account that exists. */
export class RefusedLogin extends Error {
  readonly user: { readonly id: string; readonly username: string } | undefined

  constructor(user: { readonly id: string; readonly username: string } | undefined) {
    super('a login was refused')
    this.name = 'RefusedLogin'
    this.user = user
  }
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
  if (!actor.sees(project)) {
    return {
      allowed: false,
      error: new AppError('NOT_FOUND', { cause: new HiddenFromActor(permission, project) }),
    }
  }
  if (!actor.can(permission, project))
    return { allowed: false, error: new AppError('FORBIDDEN', { permission }) }
  return { allowed: true }
}

/** Throws the refusal of `verdictOf` unless the actor has the permission in the project. */
export function requirePermission(actor: Actor, permission: Permission, projectId: string | undefined): void {
  const verdict = verdictOf(actor, permission, { project: projectId })
  if (!verdict.allowed) throw verdict.error
}
