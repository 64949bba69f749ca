import { UsageError } from '../cli-error.ts'
import { targetOf } from '../../api-client/route.ts'
import type { Client } from '../client.ts'
import { followEvents, type FollowOptions } from '../event-follow.ts'
import { type LineStyle, noteLost, readLogLine, showLogLine } from '../log-lines.ts'
import { readServiceLog } from '../log-pages.ts'
import { readMoment, toInstants } from '../moment.ts'
import { requireService } from '../service-reference.ts'
import { type Call, defineVerb } from '../verb.ts'
import { isId, type LogLine } from '../wire.ts'

const OPTIONS = {
  project: { type: 'string', short: 'p', value: 'PROJECT', about: 'The project of the service' },
  follow: {
    type: 'boolean',
    short: 'f',
    about: 'Go on with what is written from now on, also over redeployments',
  },
  tail: {
    type: 'string',
    short: 'n',
    value: 'COUNT',
    about: 'How many lines of the past (100 unless given, all of them with --since)',
  },
  since: {
    type: 'string',
    value: 'WHEN',
    about: 'Only lines from then on: a time ago, such as 10m or 2h, or an instant (RFC 3339)',
  },
  replica: { type: 'string', value: 'INDEX', about: 'Only of this replica' },
  grep: { type: 'string', value: 'TEXT', about: 'Only lines with this text; not with --follow' },
  timestamps: { type: 'boolean', short: 't', about: 'Begin each line with its time' },
  deployment: { type: 'string', value: 'ID', about: 'The log of a deployment: its build, start and checks' },
} as const

type LogsCall = Call<typeof OPTIONS>

const USUAL_TAIL = 100
/** What the server sends of the past before it goes on with the present. */
const MOST_FOLLOWED = 10_000

export const logs = defineVerb({
  usage: 'logs [SERVICE]',
  about:
    'Shows what a service writes, or the log of one deployment. Without SERVICE: of the one that this folder is linked to. With -o json each line is an object.',
  options: OPTIONS,
  operands: [0, 1],
  examples: [
    'berth logs hello -f',
    'berth logs shop/web --since 10m --grep error',
    'berth logs --deployment 01935c1e-6b7a-7cc3-98c4-dc0c0c07398f',
  ],
  run: async (call) => {
    const { flags, operands } = call
    const client = await call.connect()
    if (flags.deployment !== undefined) return deploymentLog(call, client, flags.deployment)
    if (flags.grep !== undefined && flags.follow)
      throw new UsageError('--grep and --follow contradict each other: use grep(1)')
    const read = readQuery(call)
    const service = await requireService(call, client, operands[0], flags.project)
    const style = styleOf(call, service.replicas > 1 && flags.replica === undefined)
    const params = { id: service.id }
    const { tail, ...filter } = await read(client)
    if (flags.follow) {
      if (tail !== undefined && tail > MOST_FOLLOWED)
        throw new UsageError(`--follow begins with ${MOST_FOLLOWED} lines at most`)
      const { grep: _, ...first } = { ...filter, tail }
      return follow(
        call,
        client,
        targetOf('GET /v1/services/{id}/logs/stream', { params }).path,
        first,
        style,
      )
    }
    const wanted = tail ?? Number.POSITIVE_INFINITY
    if (wanted === 0) return
    for await (const lines of readServiceLog(client, service.id, filter, wanted, call.output))
      await print(call, lines, style)
  },
})

async function deploymentLog(call: LogsCall, client: Client, id: string): Promise<void> {
  const { flags, operands } = call
  const refused = (['tail', 'since', 'replica', 'grep'] as const).find((name) => flags[name] !== undefined)
  if (refused !== undefined)
    throw new UsageError(`--${refused} is for the log of a service, not for that of a deployment`)
  if (operands.length > 0 || !isId(flags.deployment ?? ''))
    throw new UsageError('--deployment takes the id of a deployment, and no SERVICE; see berth releases')
  const params = { id }
  const style = styleOf(call, false)
  if (flags.follow)
    return follow(call, client, targetOf('GET /v1/deployments/{id}/logs/stream', { params }).path, {}, style)
  let next: string | undefined
  do {
    const page = await client.page('GET /v1/deployments/{id}/logs', { params }, next)
    await print(call, page.items, style)
    next = page.next
  } while (next !== undefined)
}

async function print({ output }: LogsCall, lines: readonly LogLine[], style: LineStyle): Promise<void> {
  for (const line of lines) output.dataLine(line, showLogLine(line, style))
  await output.drained()
}

function styleOf({ flags, output }: LogsCall, replicas: boolean): LineStyle {
  return { timestamps: flags.timestamps, replicas, colours: output.coloursOut }
}

/** Answers what asks the server for its time; throws a UsageError at once. */
function readQuery(call: LogsCall) {
  const { flags } = call
  for (const name of ['tail', 'replica'] as const) {
    const value = flags[name]
    if (value !== undefined && !/^\d{1,6}$/.test(value))
      throw new UsageError(`--${name} ${value} is not a number`)
  }
  const since = readMoment('since', flags.since, { past: true, example: '10m' })
  return async (client: Client) => ({
    tail: readNumber(flags.tail) ?? (since === undefined ? USUAL_TAIL : undefined),
    ...(await toInstants(call, client, { since })),
    replica: readNumber(flags.replica),
    grep: flags.grep,
  })
}

function readNumber(text: string | undefined): number | undefined {
  return text === undefined ? undefined : Number(text)
}

async function follow(
  call: LogsCall,
  client: Client,
  path: string,
  query: FollowOptions['query'] & object,
  style: LineStyle,
): Promise<void> {
  const { output } = call
  const events = followEvents({
    client,
    path,
    query,
    surroundings: call,
    onCut: (reason) => output.note(`${reason}; trying again ...`),
    onBack: () => output.note('connected again'),
  })
  for await (const event of events) {
    if (event.type === 'lost') noteLost(output, event)
    if (event.type !== 'message') continue
    const line = readLogLine(event)
    output.dataLine(line, showLogLine(line, style))
  }
}
