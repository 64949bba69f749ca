import type { FastifyRequest } from 'fastify'
import { AppError } from '../lib/errors.ts'
import type { Actor } from '../modules/identity/actor.ts'
import { requirePermission } from '../modules/identity/authorize.ts'
import type { Permission } from '../modules/identity/permissions.ts'

/** The nouns whose id in a path leads to a project. */
export const RESOURCE_KINDS = ['project', 'service', 'deployment'] as const
export type ResourceKind = (typeof RESOURCE_KINDS)[number]

/**
 * What a route asks of its caller, declared in its `config.access` and checked before the body is read. A route without it does not boot.
 *
 * - `public`: nobody need be known.
 * - `signed_in`: any valid credentials.
 * - `super_admin`: node-wide matters.
 * - `permission` `of` a resource: the permission in the project that the path's `{id}` leads to; without `of`, in any project (the operation
 *   then checks the very project that the body names).
 * - `session`: an API token gets SESSION_REQUIRED.
 */
export type RouteAccess =
  | { public: true }
  | { signed_in: true; session?: true }
  | { super_admin: true; session?: true }
  | { permission: Permission; of?: ResourceKind; session?: true }

declare module 'fastify' {
  interface FastifyContextConfig {
    access?: RouteAccess
  }
  interface FastifyRequest {
    /** Who calls. Reading it on a public route throws. */
    actor: Actor
  }
}

/** Finds the project of a resource by the resource's id; undefined when there is no such resource. */
export type ProjectFinder = (id: string) => string | undefined

/** Throws the AppError of a caller who may not use this route. */
export function checkAccess(
  access: Exclude<RouteAccess, { public: true }>,
  actor: Actor,
  request: FastifyRequest,
  finders: Readonly<Record<ResourceKind, ProjectFinder>>,
): void {
  if (access.session === true && actor.via === 'api_token') throw new AppError('SESSION_REQUIRED')
  if ('signed_in' in access) return
  if ('super_admin' in access) {
    if (!actor.is_super_admin) throw new AppError('FORBIDDEN', { permission: 'super_admin' })
    return
  }
  if (access.of === undefined) {
    if (!actor.can(access.permission)) throw new AppError('FORBIDDEN', { permission: access.permission })
    return
  }
  const id = (request.params as { id?: string }).id
  requirePermission(actor, access.permission, id === undefined ? undefined : finders[access.of](id))
}
