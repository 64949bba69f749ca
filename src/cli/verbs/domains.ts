import { CliError, EXIT, UsageError } from '../cli-error.ts'
import type { Client } from '../client.ts'
import { confirmRemoval } from '../confirmation.ts'
import { cell, type Output } from '../output.ts'
import { requireService } from '../service-reference.ts'
import { defineVerb, type Surroundings, type VerbGroup } from '../verb.ts'
import type { Domain } from '../wire.ts'

const PROJECT = { type: 'string', short: 'p', value: 'PROJECT', about: 'The project of the service' } as const
const SERVICE = {
  type: 'string',
  short: 's',
  value: 'SERVICE',
  about: 'The service, if several have it',
} as const

const list = defineVerb({
  usage: 'domains ls [SERVICE]',
  about:
    'Lists domains with their state, and what to do where one is not verified. Without SERVICE: of all services that you may see.',
  options: { project: PROJECT },
  operands: [0, 1],
  examples: ['berth domains ls', 'berth domains ls shop/web'],
  run: async (call) => {
    const { flags, operands, output } = call
    const client = await call.connect()
    const services =
      operands[0] === undefined
        ? await client.list('GET /v1/services')
        : [await requireService(call, client, operands[0], flags.project)]
    const projects = await client.list('GET /v1/projects')
    const domains: Domain[] = []
    for (const each of services)
      if (each.domains.length > 0) domains.push(...(await domainsOf(client, each.id)))
    output.data(domains, () => {
      if (domains.length === 0) return ''
      const rows = domains.map((each) => {
        const service = services.find(({ id }) => id === each.service_id)
        const project = projects.find(({ id }) => id === each.project_id)
        return [
          cell(each.hostname),
          cell(`${project?.name ?? each.project_id}/${service?.name ?? each.service_id}`),
          showStatus(output, each.status),
          showCertificate(each),
          cell(each.reason),
        ]
      })
      return output.table(['HOSTNAME', 'SERVICE', 'STATUS', 'CERTIFICATE', 'REASON'], rows)
    })
    if (domains.length === 0) output.note('There is no domain yet. berth domains add HOSTNAME attaches one.')
  },
})

const add = defineVerb({
  usage: 'domains add HOSTNAME [SERVICE]',
  about:
    'Attaches a hostname to a service and checks at once whether it points here. If it does not yet, it is checked again by itself for some days.',
  options: {
    project: PROJECT,
    'self-signed': {
      type: 'boolean',
      about: 'Until there is another certificate, answer to HTTPS with one that the server signs itself',
    },
  },
  operands: [1, 2],
  examples: ['berth domains add shop.example.com', "berth domains add '*.example.com' shop/web"],
  run: async (call) => {
    const [hostname = '', given] = call.operands
    const client = await call.connect()
    const service = await requireService(call, client, given, call.flags.project)
    const added = await client.call('POST /v1/services/{id}/domains', {
      params: { id: service.id },
      body: { hostname, self_signed: call.flags['self-signed'] },
    })
    const checked = await verifyDomain(client, added)
    report(call, checked)
  },
})

const verify = defineVerb({
  usage: 'domains verify HOSTNAME',
  about: 'Checks now whether a hostname points here. Once it does, it is routed.',
  options: { service: SERVICE, project: PROJECT },
  operands: [1, 1],
  examples: ['berth domains verify shop.example.com'],
  run: async (call) => {
    const client = await call.connect()
    const domain = await requireDomain(call, client)
    const checked = await verifyDomain(client, domain)
    report(call, checked)
    if (checked.status !== 'verified') throw new CliError(`${checked.hostname} is not verified`)
  },
})

const set = defineVerb({
  usage: 'domains set HOSTNAME',
  about:
    'Says whether a domain answers to HTTPS with a certificate that the server signs itself, as long as it has no other.',
  options: {
    service: SERVICE,
    project: PROJECT,
    'self-signed': { type: 'boolean', about: 'It does' },
    'no-self-signed': { type: 'boolean', about: 'It does not, which is usual' },
  },
  operands: [1, 1],
  examples: ['berth domains set shop.example.com --self-signed'],
  run: async (call) => {
    const { flags, output } = call
    if (flags['self-signed'] === flags['no-self-signed'])
      throw new UsageError('say --self-signed or --no-self-signed')
    const client = await call.connect()
    const domain = await requireDomain(call, client)
    const changed = await client.call('PATCH /v1/services/{id}/domains/{domain_id}', {
      params: { id: domain.service_id, domain_id: domain.id },
      body: { self_signed: flags['self-signed'] },
    })
    output.data(changed, () => `${cell(changed.hostname)}: ${showCertificate(changed)}`)
  },
})

const remove = defineVerb({
  usage: 'domains rm HOSTNAME',
  about: 'Takes a hostname away from its service.',
  options: { service: SERVICE, project: PROJECT, yes: { type: 'boolean', short: 'y', about: 'Do not ask' } },
  operands: [1, 1],
  examples: ['berth domains rm shop.example.com --yes'],
  run: async (call) => {
    const client = await call.connect()
    const domain = await requireDomain(call, client)
    await confirmRemoval(call, call.flags.yes, `the domain ${domain.hostname}`)
    await client.call('DELETE /v1/services/{id}/domains/{domain_id}', {
      params: { id: domain.service_id, domain_id: domain.id },
    })
    call.output.note(`${domain.hostname} is gone.`)
  },
})

export const domains: VerbGroup = {
  about: 'Hostnames of services.',
  verbs: { ls: list, add, verify, set, rm: remove },
  usual: 'ls',
}

function domainsOf(client: Client, serviceId: string): Promise<Domain[]> {
  return client.list('GET /v1/services/{id}/domains', { params: { id: serviceId } })
}

/** The domain that a verb names: of the service that is named, else of whichever has it. */
async function requireDomain(
  call: Surroundings & {
    operands: readonly string[]
    flags: { service: string | undefined; project: string | undefined }
  },
  client: Client,
): Promise<Domain> {
  const hostname = (call.operands[0] ?? '').toLowerCase().replace(/\.$/, '')
  const { service, project } = call.flags
  const services =
    service === undefined
      ? await client.list('GET /v1/services')
      : [await requireService(call, client, service, project)]
  const found: Domain[] = []
  for (const each of services.filter((each) => each.domains.length > 0))
    found.push(...(await domainsOf(client, each.id)).filter((domain) => domain.hostname === hostname))
  const [domain, second] = found
  if (!domain)
    throw new CliError(`there is no domain ${hostname} that you may see`, {
      exit: EXIT.not_found,
      hints: ['berth domains ls lists them.'],
    })
  if (second)
    throw new UsageError(`several services claim ${hostname}: say which with --service PROJECT/SERVICE`)
  return domain
}

function report({ output }: Surroundings, domain: Domain): void {
  output.data(domain, () => `${cell(domain.hostname)} is ${showStatus(output, domain.status)}`)
  if (domain.status === 'verified') return
  output.note(cell(domain.reason))
  const { type, dns_name: name, token } = domain.challenge
  if (type === 'dns') output.note(`The proof is a TXT record ${cell(name)} with the value ${cell(token)}.`)
  if (domain.next_check_at !== null && domain.expires_at !== null)
    output.note(
      `It is checked again by itself at ${cell(domain.next_check_at)} and later on; the claim ends unproven at ${cell(domain.expires_at)}.`,
    )
}

function showStatus(output: Output, status: Domain['status']): string {
  const colour = { verified: 'green', pending: 'yellow', failed: 'red' } as const
  return output.paint(colour[status], status)
}

/** What answers to HTTPS, and what is to come. */
function showCertificate({ certificate }: Domain): string {
  if (!certificate) return 'none'
  const { source, status, obtaining } = certificate
  const next = obtaining ? `, acme ${cell(obtaining.status)}` : ''
  return `${cell(source)} ${cell(status)}${next}`
}

function verifyDomain(client: Client, { service_id: id, id: domainId }: Domain): Promise<Domain> {
  return client.call('POST /v1/services/{id}/domains/{domain_id}/verify', {
    params: { id, domain_id: domainId },
  })
}
