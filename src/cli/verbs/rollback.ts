import { DETACH_OPTION, finishDeployment } from '../deployment-end.ts'
import { findRelease } from '../release-reference.ts'
import { requireService } from '../service-reference.ts'
import { defineVerb } from '../verb.ts'

export const rollback = defineVerb({
  usage: 'rollback [SERVICE]',
  about:
    'Brings an earlier release back, with its image, configuration and variables: the one before the present one, or the one that --to names. Nothing is built. Without SERVICE: of the one that this folder is linked to.',
  options: {
    project: { type: 'string', short: 'p', value: 'PROJECT', about: 'The project of the service' },
    to: {
      type: 'string',
      value: 'RELEASE',
      about: 'The number or the id of a deployment that was live; berth releases lists them',
    },
    detach: DETACH_OPTION,
  },
  operands: [0, 1],
  examples: ['berth rollback', 'berth rollback shop/web --to 41'],
  run: async (call) => {
    const { flags, operands } = call
    const client = await call.connect()
    const service = await requireService(call, client, operands[0], flags.project)
    const to = flags.to === undefined ? undefined : await findRelease(client, service, flags.to)
    const deployment = await client.call('POST /v1/services/{id}/rollback', {
      params: { id: service.id },
      body: to === undefined ? {} : { deployment_id: to },
      idempotencyKey: call.system.newId(),
    })
    await finishDeployment(call, client, { service, deployment, detach: flags.detach })
  },
})
