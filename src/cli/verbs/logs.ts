import { UsageError } from '../cli-error.ts'
import { targetOf } from '../../api-client/route.ts'
import type { Client } from '../client.ts'
import { readDuration } from '../duration.ts'
import { followEvents, type FollowOptions } from '../event-follow.ts'
import { type LineStyle, noteLost, readLogLine, showLogLine } from '../log-lines.ts'
import { requireService } from '../service-reference.ts'
import { type Call, defineVerb, type Surroundings } from '../verb.ts'
import { isId } from '../wire.ts'

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
    about: 'How many lines of the past (100 unless given)',
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
    const query = readQuery(call)
    const service = await requireService(call, client, operands[0], flags.project)
    const style = styleOf(call, service.replicas > 1 && flags.replica === undefined)
    const params = { id: service.id }
    if (flags.follow) {
      const { grep: _, ...first } = query
      return follow(
        call,
        client,
        targetOf('GET /v1/services/{id}/logs/stream', { params }).path,
        first,
        style,
      )
    }
    const lines = await client.call('GET /v1/services/{id}/logs', { params, query })
    for (const line of lines) call.output.dataLine(line, showLogLine(line, style))
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
  for (const line of await client.list('GET /v1/deployments/{id}/logs', { params }))
    call.output.dataLine(line, showLogLine(line, style))
}

function styleOf({ flags, output }: LogsCall, replicas: boolean): LineStyle {
  return { timestamps: flags.timestamps, replicas, colours: output.coloursOut }
}

function readQuery({ flags, system }: LogsCall) {
  for (const name of ['tail', 'replica'] as const) {
    const value = flags[name]
    if (value !== undefined && !/^\d{1,6}$/.test(value))
      throw new UsageError(`--${name} ${value} is not a number`)
  }
  const since = readInstant(system, flags.since)
  return {
    tail: readNumber(flags.tail) ?? (since === undefined ? USUAL_TAIL : undefined),
    since,
    replica: readNumber(flags.replica),
    grep: flags.grep,
  }
}

function readNumber(text: string | undefined): number | undefined {
  return text === undefined ? undefined : Number(text)
}

function readInstant(system: Surroundings['system'], given: string | undefined): string | undefined {
  if (given === undefined) return undefined
  const ago = readDuration(given)
  if (ago !== undefined) return new Date(system.now() - ago).toISOString()
  const instant = Date.parse(given)
  if (!/^\d{4}-/.test(given) || Number.isNaN(instant))
    throw new UsageError(`--since ${given} is neither a time such as 10m nor an instant`)
  return new Date(instant).toISOString()
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
