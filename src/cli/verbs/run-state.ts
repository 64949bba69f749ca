import { UsageError } from '../cli-error.ts'
import { requireService } from '../service-reference.ts'
import { type AnyVerb, defineVerb } from '../verb.ts'

const PROJECT = { type: 'string', short: 'p', value: 'PROJECT', about: 'The project of the service' } as const

type StateRoute =
  | 'POST /v1/services/{id}/start'
  | 'POST /v1/services/{id}/stop'
  | 'POST /v1/services/{id}/restart'

/** A verb that sends a service one word. */
function stateVerb(word: string, route: StateRoute, about: string, done: string): AnyVerb {
  return defineVerb({
    usage: `${word} [SERVICE]`,
    about: `${about} Without SERVICE: the one that this folder is linked to.`,
    options: { project: PROJECT },
    operands: [0, 1],
    examples: [`berth ${word} hello`, `berth ${word} shop/web`],
    run: async (call) => {
      const client = await call.connect()
      const service = await requireService(call, client, call.operands[0], call.flags.project)
      const after = await client.call(route, { params: { id: service.id } })
      call.output.data(after, () => '')
      call.output.note(`${service.name} ${done}`)
    },
  })
}

export const start = stateVerb(
  'start',
  'POST /v1/services/{id}/start',
  'Lets the live release of a stopped service run again.',
  'is starting; berth ps shows how far it is.',
)

export const stop = stateVerb(
  'stop',
  'POST /v1/services/{id}/stop',
  'Stops all replicas of a service. Its release and its addresses stay; berth start brings it back.',
  'is stopping.',
)

export const restart = stateVerb(
  'restart',
  'POST /v1/services/{id}/restart',
  'Replaces all replicas of a service by new ones of the same release, without a gap.',
  'is being restarted; berth releases shows the deployment that does it.',
)

export const scale = defineVerb({
  usage: 'scale [SERVICE] COUNT',
  about:
    'Sets how many replicas of a service run, from 0 to 100. Without SERVICE: of the one that this folder is linked to.',
  options: { project: PROJECT },
  operands: [1, 2],
  examples: ['berth scale 3', 'berth scale shop/web 2'],
  run: async (call) => {
    const { operands, flags, output } = call
    const count = operands.at(-1) ?? ''
    if (!/^\d{1,3}$/.test(count) || Number(count) > 100)
      throw new UsageError(`${count} is not a number of replicas from 0 to 100`)
    const client = await call.connect()
    const given = operands.length === 2 ? operands[0] : undefined
    const service = await requireService(call, client, given, flags.project)
    const after = await client.call('PUT /v1/services/{id}/scale', {
      params: { id: service.id },
      body: { replicas: Number(count) },
    })
    output.data(after, () => '')
    output.note(`${service.name} runs ${count} replicas from now on; before it was ${service.replicas}.`)
  },
})
