import { ApiError, isApiError } from '../cli-error.ts'
import { confirmRemoval } from '../confirmation.ts'
import { cell } from '../output.ts'
import { requireProject, requireService } from '../service-reference.ts'
import { defineVerb, type VerbGroup } from '../verb.ts'
import { showStatus } from './ps.ts'

const PROJECT = { type: 'string', short: 'p', value: 'PROJECT', about: 'The project of the service' } as const

const list = defineVerb({
  usage: 'services ls',
  about: 'Lists services, the newest first.',
  options: { project: { ...PROJECT, about: 'Only services of this project' } },
  operands: [0, 0],
  examples: ['berth services ls', 'berth services ls --project shop -o json'],
  run: async ({ connect, flags, output }) => {
    const client = await connect()
    const projects = await client.list('GET /v1/projects')
    const wanted = flags.project === undefined ? undefined : (await requireProject(client, flags.project)).id
    const services = await client.list('GET /v1/services', { query: { project_id: wanted } })
    output.data(services, () => {
      if (services.length === 0) return ''
      const rows = services.map((each) => [
        cell(projects.find(({ id }) => id === each.project_id)?.name ?? each.project_id),
        cell(each.name),
        showStatus(output, each.status),
        cell(each.created_at),
        cell(each.id),
      ])
      return output.table(['PROJECT', 'SERVICE', 'STATUS', 'CREATED', 'ID'], rows)
    })
    if (services.length === 0) output.note('There is no service yet. berth deploy makes one.')
  },
})

const show = defineVerb({
  usage: 'services show [SERVICE]',
  about:
    'Shows everything about a service; of its variables the names, and their values only with --values. Without SERVICE: the one that this folder is linked to.',
  options: { project: PROJECT, values: { type: 'boolean', about: 'Show the values of the variables too' } },
  operands: [0, 1],
  examples: ['berth services show hello', 'berth services show shop/web -o json'],
  run: async (call) => {
    const client = await call.connect()
    const { id } = await requireService(call, client, call.operands[0], call.flags.project)
    const { env, ...rest } = await client.call('GET /v1/services/{id}', { params: { id } })
    const shown = { ...rest, env: call.flags.values ? env : Object.keys(env).toSorted() }
    call.output.data(shown, () => {
      const width = Math.max(...Object.keys(shown).map((key) => key.length))
      return Object.entries(shown)
        .map(([key, value]) => `${cell(key).padEnd(width)}   ${cell(value)}`)
        .join('\n')
    })
  },
})

const remove = defineVerb({
  usage: 'services rm SERVICE',
  about: 'Removes a service with its replicas, releases, images and addresses. This cannot be taken back.',
  options: {
    project: PROJECT,
    yes: { type: 'boolean', short: 'y', about: 'Do not ask' },
    volumes: { type: 'boolean', about: 'Its volumes, too, with all that is in them' },
  },
  operands: [1, 1],
  examples: ['berth services rm hello', 'berth services rm shop/db --volumes --yes'],
  run: async (call) => {
    const client = await call.connect()
    const service = await requireService(call, client, call.operands[0], call.flags.project)
    await confirmRemoval(call, call.flags.yes, `service ${service.name} and all that belongs to it`)
    const query = { delete_volumes: call.flags.volumes ? true : undefined }
    try {
      await client.call('DELETE /v1/services/{id}', { params: { id: service.id }, query })
    } catch (error) {
      // What else it is told to add is a parameter of the API.
      if (!isApiError(error, 'NOT_EMPTY')) throw error
      const message = `${service.name} has volumes: to remove them and all that is in them too, add --volumes`
      throw new ApiError({ ...error.failure, message })
    }
    call.output.note(`${service.name} is gone.`)
  },
})

export const services: VerbGroup = {
  about: 'The services that you may see.',
  verbs: { ls: list, show, rm: remove },
  usual: 'ls',
}
