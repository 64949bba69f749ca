import { CliError, EXIT, UsageError } from '../cli-error.ts'
import type { Client } from '../client.ts'
import { confirmRemoval } from '../confirmation.ts'
import { cell } from '../output.ts'
import { plain } from '../plain-text.ts'
import { requireService, serviceHint } from '../service-reference.ts'
import { type Call, defineVerb, type VerbGroup } from '../verb.ts'
import { CHANGES, FILTERS, readChanges } from '../webhook-changes.ts'
import type { Service, Webhook, WebhookWithSecret } from '../wire.ts'

const SERVICE = {
  service: {
    type: 'string',
    short: 's',
    value: 'SERVICE',
    about: 'The service: NAME or PROJECT/NAME, unless this folder is linked to one',
  },
  project: { type: 'string', short: 'p', value: 'PROJECT', about: 'Its project' },
} as const

const OWN_SECRET = {
  'secret-stdin': {
    type: 'boolean',
    about: 'Read a secret of your own from stdin instead of having one made',
  },
} as const

type ServiceCall = Call<typeof SERVICE>

const list = defineVerb({
  usage: 'webhooks ls',
  about: 'Lists the webhooks of a service: where the forge sends to, and which pushes are deployed.',
  options: SERVICE,
  operands: [0, 0],
  examples: ['berth webhooks ls', 'berth webhooks ls --service shop/web -o json'],
  run: async (call) => {
    const { client, service } = await find(call)
    const found = await webhooksOf(client, service)
    call.output.data(found, () => {
      if (found.length === 0) return ''
      const rows = found.map((each) => [
        cell(each.name),
        each.enabled ? 'yes' : 'no',
        each.branches === null ? 'of the service' : cell(each.branches.join(', ')),
        cell(each.tags.join(', ')),
        cell(each.paths.join(', ')),
        cell(urlOf(client, each)),
        cell(each.id),
      ])
      return call.output.table(['NAME', 'ENABLED', 'BRANCHES', 'TAGS', 'PATHS', 'URL', 'ID'], rows)
    })
    if (found.length === 0) call.output.note(`${service.name} has no webhooks.`)
  },
})

const add = defineVerb({
  usage: 'webhooks add',
  about:
    'Makes a webhook that deploys what is pushed, and prints its URL and its secret for the settings of the repository. The secret is shown this once.',
  options: {
    ...SERVICE,
    name: { type: 'string', value: 'NAME', about: 'What it is called; webhook unless given' },
    ...FILTERS,
    ...OWN_SECRET,
  },
  operands: [0, 0],
  examples: [
    'berth webhooks add --service shop/web',
    "berth webhooks add --branch main --branch 'release/*' --path 'web/**'",
  ],
  run: async (call) => {
    const { flags } = call
    const { client, service } = await find(call)
    const body = {
      ...(flags.name === undefined ? {} : { name: flags.name }),
      ...(flags.branch.length === 0 ? {} : { branches: [...flags.branch] }),
      tags: [...flags.tag],
      paths: [...flags.path],
      skip_markers: !flags['ignore-markers'],
      ...(await ownSecret(call)),
    }
    showSecret(
      call,
      client,
      await client.call('POST /v1/services/{id}/webhooks', { params: { id: service.id }, body }),
    )
  },
})

const set = defineVerb({
  usage: 'webhooks set [WEBHOOK]',
  about:
    'Changes which pushes a webhook deploys, or switches it off and on. Patterns of a kind that is given take the place of all of that kind; the rest stays as it is.',
  options: { ...SERVICE, ...CHANGES },
  operands: [0, 1],
  examples: [
    "berth webhooks set --branch main --branch 'release/*'",
    'berth webhooks set github --default-branch --any-path',
    'berth webhooks set github --disable',
  ],
  run: async (call) => {
    const body = readChanges(call.flags)
    const { client, service, params } = await findWebhook(call, call.operands[0])
    const changed = await client.call('PATCH /v1/services/{id}/webhooks/{webhook_id}', { params, body })
    call.output.data(changed, () => '')
    call.output.note(
      `Changed the webhook ${plain(changed.name)} of ${service.name}: ${Object.keys(body).join(', ')}.`,
    )
  },
})

const rotate = defineVerb({
  usage: 'webhooks rotate [WEBHOOK]',
  about:
    'Replaces the secret of a webhook and prints the new one, this once. The old one is worth nothing from then on: put the new one into the settings of the repository.',
  options: { ...SERVICE, ...OWN_SECRET },
  operands: [0, 1],
  examples: ['berth webhooks rotate', 'openssl rand -hex 32 | berth webhooks rotate github --secret-stdin'],
  run: async (call) => {
    const { client, params } = await findWebhook(call, call.operands[0])
    const body = await ownSecret(call)
    const rotated = await client.call('POST /v1/services/{id}/webhooks/{webhook_id}/rotate-secret', {
      params,
      body,
    })
    showSecret(call, client, rotated)
  },
})

const remove = defineVerb({
  usage: 'webhooks rm WEBHOOK',
  about: 'Removes a webhook and what it received. What it had deployed stays.',
  options: { ...SERVICE, yes: { type: 'boolean', short: 'y', about: 'Do not ask' } },
  operands: [1, 1],
  examples: ['berth webhooks rm github --service shop/web'],
  run: async (call) => {
    const { client, service, webhook, params } = await findWebhook(call, call.operands[0])
    await confirmRemoval(call, call.flags.yes, `the webhook ${webhook.name} of ${service.name}`)
    await client.call('DELETE /v1/services/{id}/webhooks/{webhook_id}', { params })
    call.output.note(`${webhook.name} is gone.`)
  },
})

const deliveries = defineVerb({
  usage: 'webhooks deliveries [WEBHOOK]',
  about: 'Lists what a webhook received, newest first, and what came of it.',
  options: SERVICE,
  operands: [0, 1],
  examples: ['berth webhooks deliveries', 'berth webhooks deliveries github -o json'],
  run: async (call) => {
    const { client, params, webhook } = await findWebhook(call, call.operands[0])
    const found = await client.list('GET /v1/services/{id}/webhooks/{webhook_id}/deliveries', { params })
    call.output.data(found, () => {
      if (found.length === 0) return ''
      const rows = found.map((each) => [
        cell(each.received_at),
        cell(each.event),
        cell(each.ref),
        cell(each.commit?.slice(0, 12)),
        cell(each.outcome),
        cell(each.reason ?? each.deployment_id),
        cell(each.id),
      ])
      return call.output.table(['RECEIVED', 'EVENT', 'REF', 'COMMIT', 'OUTCOME', 'WHY', 'ID'], rows)
    })
    if (found.length === 0) call.output.note(`${webhook.name} has received nothing yet.`)
  },
})

const replay = defineVerb({
  usage: 'webhooks replay DELIVERY [WEBHOOK]',
  about:
    'Acts on a delivery once more, by the settings of today. berth webhooks deliveries lists them, and tells what came of it.',
  options: SERVICE,
  operands: [1, 2],
  examples: ['berth webhooks replay 01928c5e-7b1a-7c3e-9d2f-5a6b7c8d9e0f --service shop/web'],
  run: async (call) => {
    const [delivery_id = '', given] = call.operands
    const { client, params } = await findWebhook(call, given)
    const again = await client.call(
      'POST /v1/services/{id}/webhooks/{webhook_id}/deliveries/{delivery_id}/replay',
      { params: { ...params, delivery_id }, idempotencyKey: call.system.newId() },
    )
    call.output.data(again, () => plain(again.id))
  },
})

export const webhooks: VerbGroup = {
  about: 'Webhooks, which deploy what is pushed to a repository.',
  verbs: { ls: list, add, set, rotate, rm: remove, deliveries, replay },
  usual: 'ls',
}

async function find(call: ServiceCall): Promise<{ client: Client; service: Service }> {
  const client = await call.connect()
  return { client, service: await requireService(call, client, call.flags.service, call.flags.project) }
}

/** The webhook of this name or id; without one the only one that the service has. */
async function findWebhook(call: ServiceCall, given: string | undefined) {
  const { client, service } = await find(call)
  const all = await webhooksOf(client, service)
  const found = given === undefined ? all : all.filter(({ id, name }) => id === given || name === given)
  const [webhook, second] = found
  if (!webhook)
    throw new CliError(`${service.name} has no webhook${given === undefined ? '' : ` ${given}`}`, {
      exit: EXIT.not_found,
      hints: [...serviceHint(given ?? ''), 'berth webhooks ls lists them.'],
    })
  if (second)
    throw new UsageError(
      `${service.name} has several webhooks${given === undefined ? '' : ` ${given}`}: say which`,
      found.map(({ id, name }) => `${id} (${name})`),
    )
  return { client, service, webhook, params: { id: service.id, webhook_id: webhook.id } }
}

function webhooksOf(client: Client, { id }: Service): Promise<Webhook[]> {
  return client.list('GET /v1/services/{id}/webhooks', { params: { id } })
}

/** Without a control domain: under the address that this command reaches the server at. */
function urlOf(client: Client, { url, path }: Webhook): string {
  return url ?? `${client.origin}${path}`
}

async function ownSecret({ flags, terminal }: Call<typeof OWN_SECRET>): Promise<{ secret?: string }> {
  return flags['secret-stdin'] ? { secret: await terminal.readSecret() } : {}
}

function showSecret({ output }: ServiceCall, client: Client, webhook: WebhookWithSecret): void {
  output.data(webhook, () => `url      ${plain(urlOf(client, webhook))}\nsecret   ${plain(webhook.secret)}`)
  output.note('Keep the secret safe: it is not shown again.')
  if (webhook.url === null)
    output.note(
      'The server has no control_domain: the URL is the address that this command uses. Should the forge not reach that one, give it another address of the server with the same path.',
    )
}
