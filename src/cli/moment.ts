import { UsageError } from './cli-error.ts'
import type { Client } from './client.ts'
import { readDuration } from './duration.ts'
import { formatSeconds } from './progress-bar.ts'
import type { Surroundings } from './verb.ts'

/** A point in time as an option gives it: by its distance from now, or as RFC 3339. */
export type Moment = { offset_ms: number } | { instant: string }

/** Throws a UsageError for what is neither. `example` is a duration; those of the past lie before now. */
export function readMoment(
  option: string,
  given: string | undefined,
  { past, example }: { past: boolean; example: string },
): Moment | undefined {
  if (given === undefined) return undefined
  const duration = readDuration(given)
  if (duration !== undefined) return { offset_ms: past ? -duration : duration }
  const instant = Date.parse(given)
  if (!/^\d{4}-/.test(given) || Number.isNaN(instant))
    throw new UsageError(`--${option} ${given} is neither a time such as ${example} nor an instant`)
  return { instant: new Date(instant).toISOString() }
}

const SAME_CLOCK_MS = 60_000

/** The moments as instants of the server's clock. */
export async function toInstants<Name extends string>(
  call: Pick<Surroundings, 'output' | 'system'>,
  client: Client,
  moments: Readonly<Record<Name, Moment | undefined>>,
): Promise<Record<Name, string | undefined>> {
  const given = Object.entries(moments) as [Name, Moment | undefined][]
  const isRelative = given.some(([, moment]) => moment !== undefined && 'offset_ms' in moment)
  const now = isRelative ? await serverNow(call, client) : 0
  const instants = given.map(([name, moment]): [Name, string | undefined] => {
    if (moment === undefined) return [name, undefined]
    return [name, 'instant' in moment ? moment.instant : new Date(now + moment.offset_ms).toISOString()]
  })
  return Object.fromEntries(instants) as Record<Name, string | undefined>
}

/**
 * The time that "now" is for the server, in milliseconds since the epoch: what it is to compare with its own clock must not come from ours. Warns when
 * the two differ much.
 */
export async function serverNow(
  { output, system }: Pick<Surroundings, 'output' | 'system'>,
  client: Client,
): Promise<number> {
  const now = await client.serverTime()
  const ahead = system.now() - now
  if (Math.abs(ahead) > SAME_CLOCK_MS) {
    const much = formatSeconds(60 * Math.round(Math.abs(ahead) / 60_000))
    output.warn(
      `the clock of this machine is ${much} ${ahead > 0 ? 'ahead of' : 'behind'} that of ${client.origin}; the server's counts`,
    )
  }
  return now
}
