import { AppError } from '../lib/errors.ts'
import type { Actor } from '../modules/identity/actor.ts'
import { type Verdict, verdictOf } from '../modules/identity/authorize.ts'
import type { Permission } from '../modules/identity/permissions.ts'

/** The nouns whose id in a path leads to a project. */
export const RESOURCE_KINDS = ['project', 'service', 'deployment'] as const
export type ResourceKind = (typeof RESOURCE_KINDS)[number]

interface AccessOptions {
  /** An API token gets SESSION_REQUIRED. */
  session?: true
  /** The install admin token may use it also after the first administrator exists: it recovers access. */
  recovery?: true
}

/**
 * What a route asks of its caller, declared in its `config.access` and checked before the body is read. A route without it does not boot.
 *
 * - `public`: nobody need be known.
 * - `registry`: the registry asks for itself, in the ways that its clients know, and answers in their shape.
 * - `install_admin`: the install admin token only.
 * - `signed_in`: any valid credentials.
 * - `super_admin`: node-wide matters.
 * - `permission` `of` a resource: the permission in the project that the path's `{id}` leads to; without `of`, in any project (the operation
 *   then checks the very project that the body names). `also`: a second one, there as well.
 */
export type RouteAccess =
  | { public: true }
  | { registry: true }
  | { install_admin: true }
  | ({ signed_in: true } & AccessOptions)
  | ({ super_admin: true } & AccessOptions)
  | ({ permission: Permission; also?: Permission; of?: ResourceKind } & AccessOptions)

/** Finds the project of a resource by the resource's id; undefined when there is no such resource. */
export type ProjectFinder = (id: string) => string | undefined
export type ProjectFinders = Readonly<Record<ResourceKind, ProjectFinder>>

/** Decides whether the actor may use a route; the one function that the routes, open streams and authorization/check share. */
export function decideAccess(
  access: RouteAccess,
  actor: Actor,
  params: Readonly<Record<string, string | undefined>>,
  finders: ProjectFinders,
): Verdict {
  if ('public' in access || 'registry' in access) return { allowed: true }
  if ('install_admin' in access) {
    if (actor.via === 'admin_token') return { allowed: true }
    return {
      allowed: false,
      error: new AppError('FORBIDDEN', { message: 'This needs the install admin token.' }),
    }
  }
  if (actor.via === 'admin_token' && !actor.is_super_admin && access.recovery !== true) {
    return {
      allowed: false,
      error: new AppError('FORBIDDEN', { message: 'The install admin token only recovers access now.' }),
    }
  }
  if (access.session === true && actor.via === 'api_token') {
    return { allowed: false, error: new AppError('SESSION_REQUIRED') }
  }
  if ('signed_in' in access) return { allowed: true }
  if ('super_admin' in access) {
    if (actor.is_super_admin || actor.via === 'admin_token') return { allowed: true }
    return { allowed: false, error: new AppError('FORBIDDEN', { permission: 'super_admin' }) }
  }
  const { permission, also, of } = access
  const id = params['id']
  const target = of && { project: id === undefined ? undefined : finders[of](id) }
  const verdict = verdictOf(actor, permission, target)
  return verdict.allowed && also !== undefined ? verdictOf(actor, also, target) : verdict
}
