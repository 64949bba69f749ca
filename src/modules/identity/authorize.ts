import { AppError } from '../../lib/errors.ts'
import type { Actor } from './actor.ts'
import type { Permission } from './permissions.ts'

/**
 * Throws unless the actor has the permission in the project. A project that the actor may not see answers NOT_FOUND, as one that
 * does not exist would; one they see answers FORBIDDEN and names the permission.
 */
export function requirePermission(actor: Actor, permission: Permission, projectId: string | undefined): void {
  if (projectId === undefined || !actor.sees(projectId)) throw new AppError('NOT_FOUND')
  if (!actor.can(permission, projectId)) throw new AppError('FORBIDDEN', { permission })
}
