import type { Static } from 'typebox'
import { decideAccess } from '../../http/access.ts'
import type { Server } from '../../http/server.ts'
import { AppError } from '../../lib/errors.ts'
import type { Actor } from './actor.ts'
import { type Verdict, verdictOf } from './authorize.ts'
import { AuthorizationMe, CheckAnswer, CheckBody } from './identity-schema.ts'
import { PERMISSION_NAMES } from './permissions.ts'

const tags = ['authorization']

/** What one may, answered by the function that the routes ask themselves. */
export function authorizationRoutes(server: Server): void {
  server.get(
    '/v1/authorization/me',
    {
      config: { access: { signed_in: true } },
      schema: {
        operationId: 'readAuthorization',
        summary: 'Read what you may, by project',
        tags,
        response: { 200: AuthorizationMe },
      },
    },
    async (request) => describe(request.context.actor),
  )
  server.post(
    '/v1/authorization/check',
    {
      config: { access: { signed_in: true } },
      schema: {
        operationId: 'checkAuthorization',
        summary: 'Ask whether you have a permission, or whether a request of yours would be let in',
        tags,
        body: CheckBody,
        response: { 200: CheckAnswer },
      },
    },
    async (request) => {
      const verdict = check(request.body, request.context.actor, server)
      if (verdict.allowed) return { allowed: true, reason: null }
      const { code, permission } = verdict.error
      return { allowed: false, reason: code, ...(permission === undefined ? {} : { permission }) }
    },
  )
}

function describe(actor: Actor) {
  const visible = actor.visibleProjects()
  const projects = visible === 'all' ? [] : visible
  return {
    is_super_admin: actor.is_super_admin,
    permissions: PERMISSION_NAMES.filter((permission) => actor.can(permission)),
    projects: projects.map((project_id) => ({
      project_id,
      permissions: PERMISSION_NAMES.filter((permission) => actor.can(permission, project_id)),
    })),
  }
}

function check(body: Static<typeof CheckBody>, actor: Actor, server: Server): Verdict {
  const { permission, project_id, method, path } = body
  if (permission !== undefined && method === undefined && path === undefined) {
    const target = project_id === undefined ? undefined : { project: server.finders.project(project_id) }
    return verdictOf(actor, permission, target)
  }
  if (permission === undefined && project_id === undefined && method !== undefined && path !== undefined) {
    const known = server.routeIndex.at(path.split('?', 1)[0] ?? '')
    const found = known.find(({ route }) => route.method === method)
    if (found) return decideAccess(found.route.access, actor, found.params, server.finders)
    return { allowed: false, error: new AppError(known.length > 0 ? 'METHOD_NOT_ALLOWED' : 'NOT_FOUND') }
  }
  const message = 'Send permission (and perhaps project_id), or method and path.'
  throw new AppError('VALIDATION_ERROR', { message, details: [{ message }] })
}
