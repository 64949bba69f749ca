import { CliError, EXIT, UsageError } from '../cli-error.ts'
import { confirmRemoval } from '../confirmation.ts'
import { DETACH_OPTION, finishDeployment } from '../deployment-end.ts'
import { cell, type Output } from '../output.ts'
import { findRelease } from '../release-reference.ts'
import { requireService } from '../service-reference.ts'
import { defineVerb, type VerbGroup } from '../verb.ts'
import type { Service } from '../wire.ts'

const PROJECT = { type: 'string', short: 'p', value: 'PROJECT', about: 'The project of the service' } as const

const show = defineVerb({
  usage: 'canary show [SERVICE]',
  about:
    'Shows the release that runs beside the live one, and its share of the requests. berth deploy --canary PERCENT begins one. Without SERVICE: of the one that this folder is linked to.',
  options: { project: PROJECT },
  operands: [0, 1],
  examples: ['berth canary show shop/web', 'berth canary show -o json'],
  run: async (call) => {
    const client = await call.connect()
    const service = await requireService(call, client, call.operands[0], call.flags.project)
    const { canary } = await client.call('GET /v1/services/{id}', { params: { id: service.id } })
    if (!canary) throw noCanary(service)
    call.output.data(canary, () => row(call.output, canary))
  },
})

const set = defineVerb({
  usage: 'canary set [SERVICE] PERCENT',
  about:
    'Gives the canary another share of the requests, from 1 to 99 percent. With --release an earlier release becomes the canary. Without SERVICE: of the one that this folder is linked to.',
  options: {
    project: PROJECT,
    release: {
      type: 'string',
      value: 'RELEASE',
      about: 'The number or the id of a deployment that was live; berth releases lists them',
    },
    detach: DETACH_OPTION,
  },
  operands: [1, 2],
  examples: ['berth canary set shop/web 25', 'berth canary set 5 --release 41'],
  run: async (call) => {
    const { flags, operands, output } = call
    const percent = readPercent(operands.at(-1) ?? '')
    const client = await call.connect()
    const reference = operands.length === 2 ? operands[0] : undefined
    const service = await requireService(call, client, reference, flags.project)
    if (flags.release !== undefined) {
      const deployment_id = await findRelease(client, service, flags.release)
      const source = { type: 'rollback', deployment_id } as const
      const deployment = await client.call('POST /v1/deployments', {
        body: { service_id: service.id, source, canary_percent: percent },
        idempotencyKey: call.system.newId(),
      })
      await finishDeployment(call, client, { service, deployment, detach: flags.detach })
      return
    }
    const canary = await client.call('PUT /v1/services/{id}/canary', {
      params: { id: service.id },
      body: { percent },
    })
    output.data(canary, () => row(output, canary))
  },
})

const promote = defineVerb({
  usage: 'canary promote [SERVICE]',
  about:
    'Makes the release of the canary the live one. Nothing is built. Without SERVICE: of the one that this folder is linked to.',
  options: { project: PROJECT, detach: DETACH_OPTION },
  operands: [0, 1],
  examples: ['berth canary promote shop/web'],
  run: async (call) => {
    const client = await call.connect()
    const service = await requireService(call, client, call.operands[0], call.flags.project)
    const deployment = await client.call('POST /v1/services/{id}/canary/promote', {
      params: { id: service.id },
      idempotencyKey: call.system.newId(),
    })
    await finishDeployment(call, client, { service, deployment, detach: call.flags.detach })
  },
})

const abort = defineVerb({
  usage: 'canary abort [SERVICE]',
  about:
    'Ends the canary: all requests go to the live release at once. Without SERVICE: of the one that this folder is linked to.',
  options: { project: PROJECT, yes: { type: 'boolean', short: 'y', about: 'Do not ask' } },
  operands: [0, 1],
  examples: ['berth canary abort shop/web --yes'],
  run: async (call) => {
    const client = await call.connect()
    const service = await requireService(call, client, call.operands[0], call.flags.project)
    await confirmRemoval(call, call.flags.yes, `the canary of ${service.name}`)
    await client.call('DELETE /v1/services/{id}/canary', { params: { id: service.id } })
    call.output.note('All requests go to the live release.')
  },
})

export const canary: VerbGroup = {
  about: 'A second release for a share of the requests.',
  verbs: { show, set, promote, abort },
  usual: 'show',
}

/** A share of the requests. */
export function readPercent(text: string): number {
  if (!/^[1-9]\d?$/.test(text)) throw new UsageError(`${text} is not a number of percent from 1 to 99`)
  return Number(text)
}

function row(
  output: Output,
  { percent, healthy_replicas, replicas, deployment_id }: NonNullable<Service['canary']>,
): string {
  const cells = [`${percent} %`, `${healthy_replicas}/${replicas}`, cell(deployment_id)]
  return output.table(['SHARE', 'REPLICAS', 'DEPLOYMENT'], [cells])
}

function noCanary({ name }: Service): CliError {
  return new CliError(`${name} has no canary`, {
    exit: EXIT.not_found,
    hints: ['berth deploy --canary PERCENT begins one.'],
  })
}
