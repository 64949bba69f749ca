import { ApiError, CliError } from '../cli-error.ts'
import { targetOf } from '../../api-client/route.ts'
import type { Client } from '../client.ts'
import { readFailure, unreachable } from '../http-answer.ts'
import { readMoment, toInstants } from '../moment.ts'
import { cell } from '../output.ts'
import { type Call, defineVerb, type VerbGroup } from '../verb.ts'
import { readCount } from './releases.ts'

const FILTERS = {
  actor: { type: 'string', value: 'WHO', about: 'Only of this user, by name or id' },
  action: { type: 'string', value: 'ACTION', about: 'Only this action, such as createService' },
  resource: {
    type: 'string',
    value: 'WHAT',
    about: 'Only of this kind of thing, or of the one with this id',
  },
  since: {
    type: 'string',
    value: 'WHEN',
    about: 'Only from then on: a time ago, such as 7d, or an instant (RFC 3339)',
  },
  until: { type: 'string', value: 'WHEN', about: 'Only until then' },
} as const

/** Answers what asks the server for them; throws a UsageError at once. */
function readFilters(call: Call<typeof FILTERS>) {
  const { actor, action, resource } = call.flags
  const read = (name: 'since' | 'until') => readMoment(name, call.flags[name], { past: true, example: '7d' })
  const moments = { since: read('since'), until: read('until') }
  return async (client: Client) => ({
    actor,
    action,
    resource,
    ...(await toInstants(call, client, moments)),
  })
}

const list = defineVerb({
  usage: 'audit ls',
  about: 'Lists who did what and who was refused, the newest first.',
  options: {
    ...FILTERS,
    limit: { type: 'string', short: 'n', value: 'COUNT', about: 'How many (50 unless given)' },
  },
  operands: [0, 0],
  examples: ['berth audit ls', 'berth audit ls --actor alice --since 7d -n 200 -o json'],
  run: async (call) => {
    const { flags, output } = call
    const limit = readCount(flags.limit ?? '50')
    const filters = readFilters(call)
    const client = await call.connect()
    const events = await client.list('GET /v1/audit-events', {
      query: await filters(client),
      most: limit,
    })
    output.data(events, () =>
      output.table(
        ['WHEN', 'WHO', 'ACTION', 'OUTCOME', 'WHAT'],
        events.map((each) => [
          cell(each.at),
          cell(each.actor_name),
          cell(each.action),
          each.outcome === 'done' ? 'done' : output.paint('red', cell(each.outcome)),
          [each.resource_kind, each.resource_id].filter(Boolean).map(cell).join(' ') || '-',
        ]),
      ),
    )
  },
})

const exportEvents = defineVerb({
  usage: 'audit export',
  about:
    'Writes audit events as JSON lines to stdout, the oldest first. The last line tells how many there are and whether the chain of hashes holds.',
  options: FILTERS,
  operands: [0, 0],
  examples: ['berth audit export --since 30d > audit.jsonl'],
  run: async (call) => {
    const filters = readFilters(call)
    const client = await call.connect()
    const { method, path } = targetOf('GET /v1/audit-events/export', { query: await filters(client) })
    const response = await client.fetch(method, path, {
      headers: { accept: 'application/x-ndjson' },
      unlimited: true,
    })
    if (!response.ok) throw new ApiError(await readFailure(client.origin, response))
    try {
      for await (const chunk of (response.body ?? []) as AsyncIterable<Uint8Array>)
        await call.output.raw(chunk)
    } catch (error) {
      throw unreachable(client.origin, error, call.signal)
    }
  },
})

const verify = defineVerb({
  usage: 'audit verify',
  about:
    'Lets the server compute every hash of the audit log anew. Fails when an event was changed, removed or put in.',
  options: {},
  operands: [0, 0],
  examples: ['berth audit verify'],
  run: async ({ connect, output }) => {
    const verdict = await (await connect()).call('POST /v1/audit-events/verify')
    output.data(verdict, () => (verdict.chain_ok ? `The chain holds: ${verdict.events} events.` : ''))
    if (!verdict.chain_ok) {
      throw new CliError(`the chain is broken at event ${verdict.broken_at ?? '?'}: ${cell(verdict.reason)}`)
    }
  },
})

export const audit: VerbGroup = {
  about: 'The audit log: every change and every refused attempt, each chained to the one before by its hash.',
  verbs: { ls: list, export: exportEvents, verify },
  usual: 'ls',
}
