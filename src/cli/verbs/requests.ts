import { UsageError } from '../cli-error.ts'
import { targetOf } from '../../api-client/route.ts'
import { followEvents, parseObject } from '../event-follow.ts'
import { noteLost } from '../log-lines.ts'
import { cell } from '../output.ts'
import { createReleaseNumbers, findRelease } from '../release-reference.ts'
import { requireService } from '../service-reference.ts'
import { type Call, defineVerb } from '../verb.ts'
import type { RequestEntry } from '../wire.ts'

const OPTIONS = {
  project: { type: 'string', short: 'p', value: 'PROJECT', about: 'The project of the service' },
  follow: { type: 'boolean', short: 'f', about: 'Go on with the requests that come from now on' },
  tail: { type: 'string', short: 'n', value: 'COUNT', about: 'How many of the past (20 unless given)' },
  deployment: {
    type: 'string',
    value: 'RELEASE',
    about: 'Only what this release answered: its number or id',
  },
} as const

const USUAL_TAIL = '20'

export const requests = defineVerb({
  usage: 'requests [SERVICE]',
  about:
    'Shows the requests that came for a service, oldest first: status, time, and which release answered. Without SERVICE: of the one that this folder is linked to. With -o json each request is an object.',
  options: OPTIONS,
  operands: [0, 1],
  examples: ['berth requests shop/web -f', 'berth requests shop/web -n 100 -o json'],
  run: async (call) => {
    const { flags, operands, output } = call
    const tail = flags.tail ?? USUAL_TAIL
    if (!/^\d{1,3}$|^1000$/.test(tail)) throw new UsageError(`--tail ${tail} is not a number up to 1000`)
    const client = await call.connect()
    const service = await requireService(call, client, operands[0], flags.project)
    const params = { id: service.id }
    const { deployment: given } = flags
    const deploymentId = given === undefined ? undefined : await findRelease(client, service, given)
    const numberOf = createReleaseNumbers(client)
    if (!flags.follow) {
      if (tail === '0') return
      const query = {
        limit: Number(tail),
        ...(deploymentId !== undefined && { deployment_id: deploymentId }),
      }
      const found = await client.call('GET /v1/services/{id}/requests', { params, query })
      for (const each of found.toReversed()) show(call, each, await numberOf(each.deployment_id))
      return
    }
    const events = followEvents({
      client,
      path: targetOf('GET /v1/services/{id}/requests/stream', { params }).path,
      query: { tail, deployment_id: deploymentId },
      surroundings: call,
      onCut: (reason) => output.note(`${reason}; trying again ...`),
      onBack: () => output.note('connected again'),
    })
    for await (const event of events) {
      if (event.type === 'lost') noteLost(output, event)
      if (event.type !== 'message') continue
      const entry = parseObject(event.data) as unknown as RequestEntry
      show(call, entry, await numberOf(entry.deployment_id))
    }
  },
})

function show({ output }: Call<typeof OPTIONS>, entry: RequestEntry, release: string): void {
  const style = entry.status >= 500 ? 'red' : entry.status >= 400 ? 'yellow' : 'green'
  const status = output.paint(style, String(entry.status))
  output.dataLine(
    entry,
    [
      cell(entry.ts),
      status,
      cell(entry.method),
      cell(`${entry.hostname}${entry.path}`),
      `${entry.duration_ms} ms`,
      cell(entry.client_address),
      release,
    ].join('  '),
  )
}
