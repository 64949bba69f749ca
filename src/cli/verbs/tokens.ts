import { CliError, EXIT, UsageError } from '../cli-error.ts'
import { readMoment, toInstants } from '../moment.ts'
import { cell } from '../output.ts'
import { plain } from '../plain-text.ts'
import { requireProject } from '../service-reference.ts'
import { withSession } from '../session.ts'
import { defineVerb, type VerbGroup } from '../verb.ts'
import type { Permission } from '../wire.ts'

const list = defineVerb({
  usage: 'tokens ls',
  about: 'Lists your API tokens: how each begins, and when it was last used.',
  options: {},
  operands: [0, 0],
  examples: ['berth tokens ls'],
  run: async ({ connect, output }) => {
    const tokens = await (await connect()).list('GET /v1/api-tokens')
    output.data(tokens, () =>
      output.table(
        ['NAME', 'PREFIX', 'CREATED', 'LAST USED', 'EXPIRES', 'ID'],
        tokens.map((each) => [
          cell(each.name),
          cell(each.prefix),
          cell(each.created_at),
          cell(each.last_used_at),
          cell(each.expires_at),
          cell(each.id),
        ]),
      ),
    )
  },
})

const create = defineVerb({
  usage: 'tokens create NAME',
  about:
    'Makes an API token and prints it, this once. It may do what you may, unless it is limited to some permissions or projects.',
  options: {
    permission: {
      type: 'string',
      multiple: true,
      value: 'NAME',
      about: 'Only this permission, such as deployments.create',
    },
    project: { type: 'string', short: 'p', multiple: true, value: 'PROJECT', about: 'Only this project' },
    expires: {
      type: 'string',
      value: 'WHEN',
      about: 'A time from now, such as 90d or 12h, or an instant (RFC 3339)',
    },
  },
  operands: [1, 1],
  examples: [
    'berth tokens create ci --project shop --permission uploads.create --permission deployments.create --expires 90d',
  ],
  run: async (call) => {
    const { flags, operands, output } = call
    const [name = ''] = operands
    const expires = readMoment('expires', flags.expires, { past: false, example: '90d' })
    const client = await call.connect()
    const { expires_at: expiresAt } = await toInstants(call, client, { expires_at: expires })
    const projectIds: string[] = []
    for (const each of flags.project) projectIds.push((await requireProject(client, each)).id)
    const body = {
      name,
      ...(flags.permission.length > 0 ? { permissions: flags.permission as Permission[] } : {}),
      ...(projectIds.length > 0 ? { project_ids: projectIds } : {}),
      ...(expiresAt === undefined ? {} : { expires_at: expiresAt }),
    }
    const minted = await withSession(call, client, (each) => each.call('POST /v1/api-tokens', { body }))
    output.data(minted, () => plain(minted.token))
    output.note('Keep it safe: it is not shown again.')
  },
})

const remove = defineVerb({
  usage: 'tokens rm TOKEN',
  about: 'Revokes an API token, named by its name, id or prefix. It stops working at once.',
  options: {},
  operands: [1, 1],
  examples: ['berth tokens rm ci'],
  run: async (call) => {
    const [given = ''] = call.operands
    const client = await call.connect()
    const found = (await client.list('GET /v1/api-tokens')).filter(
      ({ id, name, prefix }) => id === given || name === given || prefix === given,
    )
    const [token] = found
    if (!token) throw new CliError(`you have no token ${given}`, { exit: EXIT.not_found })
    if (found.length > 1) {
      throw new UsageError(
        `several tokens are called ${given}: say which by its id`,
        found.map(({ id, created_at: createdAt }) => `${id} (made ${createdAt})`),
      )
    }
    await withSession(call, client, (each) =>
      each.call('DELETE /v1/api-tokens/{token_id}', { params: { token_id: token.id } }),
    )
    call.output.note(`${token.name} is revoked.`)
  },
})

export const tokens: VerbGroup = {
  about: 'Your API tokens.',
  verbs: { ls: list, create, rm: remove },
  usual: 'ls',
}
