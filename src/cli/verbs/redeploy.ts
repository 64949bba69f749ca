import { DETACH_OPTION, finishDeployment } from '../deployment-end.ts'
import { requireService } from '../service-reference.ts'
import { defineVerb } from '../verb.ts'

export const redeploy = defineVerb({
  usage: 'redeploy [SERVICE]',
  about:
    'Deploys what is live once more, with the settings and variables of now: how a change of them comes into effect. Without SERVICE: the one that this folder is linked to.',
  options: {
    project: { type: 'string', short: 'p', value: 'PROJECT', about: 'The project of the service' },
    detach: DETACH_OPTION,
  },
  operands: [0, 1],
  examples: ['berth redeploy', 'berth redeploy shop/web'],
  run: async (call) => {
    const { flags, operands } = call
    const client = await call.connect()
    const service = await requireService(call, client, operands[0], flags.project)
    const deployment = await client.call('POST /v1/deployments', {
      body: { service_id: service.id, source: { type: 'redeploy' } },
      idempotencyKey: call.system.newId(),
    })
    await finishDeployment(call, client, { service, deployment, detach: flags.detach })
  },
})
