import { CliError, EXIT } from '../cli-error.ts'
import type { Client } from '../client.ts'
import { requireService } from '../service-reference.ts'
import { type Call, defineVerb } from '../verb.ts'
import { type Deployment, isId, isOver } from '../wire.ts'

export const cancel = defineVerb({
  usage: 'cancel [DEPLOYMENT | SERVICE]',
  about:
    'Cancels a deployment: the one of that id, else the one of the service (or of the service that this folder is linked to) that is under way or waits. What serves now goes on serving.',
  options: { project: { type: 'string', short: 'p', value: 'PROJECT', about: 'The project of the service' } },
  operands: [0, 1],
  examples: ['berth cancel hello', 'berth cancel 01935c1e-6b7a-7cc3-98c4-dc0c0c07398f'],
  run: async (call) => {
    const client = await call.connect()
    const deployment = await findDeployment(call, client, call.operands[0], call.flags.project)
    const answer = await client.call('POST /v1/deployments/{id}/cancel', {
      params: { id: deployment.id },
    })
    call.output.data(answer, () => '')
    call.output.note(`Deployment ${deployment.number ?? deployment.id} is being cancelled.`)
  },
})

async function findDeployment(
  call: Call,
  client: Client,
  given: string | undefined,
  project: string | undefined,
): Promise<Deployment> {
  if (given !== undefined && isId(given)) {
    try {
      return await client.call('GET /v1/deployments/{id}', { params: { id: given } })
    } catch (error) {
      // It may be the id of a service.
      if (!(error instanceof CliError) || error.exit !== EXIT.not_found) throw error
    }
  }
  const service = await requireService(call, client, given, project)
  const recent = await client.list('GET /v1/services/{id}/deployments', {
    params: { id: service.id },
    most: 20,
  })
  // The one that runs was there before the one that waits.
  const open = recent.findLast((each) => !isOver(each))
  if (!open) throw new CliError(`no deployment of ${service.name} is under way`, { exit: EXIT.conflict })
  return open
}
