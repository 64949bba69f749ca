import { isDeepStrictEqual } from 'node:util'
import type { Actor } from '../identity/actor.ts'
import { requirePermission } from '../identity/authorize.ts'
import type { ServiceRow } from './service-schema.ts'

type Runs = Pick<ServiceRow, 'source' | 'build' | 'config'>

/** Whether what is pushed is deployed without anybody being asked. */
function deploysUnattended({ source }: Runs, hasWebhook: boolean): boolean {
  switch (source.type) {
    case 'git':
      return hasWebhook
    case 'external_image':
      return source.auto_deploy
    case 'upload':
      return false
  }
}

/** What decides which programs a deployment runs, with all variables of the service. */
function programsOf({ source, build, config }: Runs): unknown[] {
  return [source, build, config.command, config.release_command]
}

/**
 * Throws FORBIDDEN when a change decides what is deployed without anybody being asked, and the actor might not deploy it: it would be deployed for
 * them by the next push. Nothing is asked for a change after which nothing is deployed so.
 */
export function requireDeploying(
  actor: Actor,
  before: Runs | undefined,
  after: Runs & Pick<ServiceRow, 'project_id'>,
  hasWebhook: boolean,
): void {
  if (!deploysUnattended(after, hasWebhook)) return
  if (before && isDeepStrictEqual(programsOf(before), programsOf(after))) return
  requirePermission(actor, 'deployments.create', after.project_id)
}
