import type { Body } from '../../api-client/route.ts'
import type { Client } from '../client.ts'
import type { Project, Service } from '../wire.ts'
import type { ProjectPlan } from './project-plan.ts'

type Planned = ProjectPlan['services'][number]

/**
 * Makes one service as planned, and answers it. Throws an ApiError (PRECONDITION_FAILED, exit status 5) when someone changed the service
 * since it was compared.
 */
export async function applyService(client: Client, project: Project, plan: Planned): Promise<Service> {
  const { existing, name, env } = plan
  // The schema that the manifest was checked with is the one that the server validates these bodies with.
  const fields = plan.fields as Omit<Body<'PUT /v1/services/{id}'>, 'name'>
  if (!existing) {
    return client.call('POST /v1/services', {
      body: { ...fields, name, project_id: project.id, env: env.set },
    })
  }
  const params = { id: existing.value.id }
  let { value: service, etag: ifMatch } = existing
  if (plan.changes.some(({ field }) => !field.startsWith('env.'))) {
    const body = { ...fields, name }
    const replaced = await client.callTagged('PUT /v1/services/{id}', { params, body, ifMatch })
    service = replaced.value
    ifMatch = replaced.etag
  }
  if (Object.keys(env.set).length > 0 || env.unset.length > 0) {
    await client.call('PATCH /v1/services/{id}/env', {
      params,
      body: { set: env.set, unset: [...env.unset] },
      ifMatch,
    })
  }
  return service
}
