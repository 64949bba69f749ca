import { readFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { CliError, EXIT, UsageError } from '../cli-error.ts'
import type { Body } from '../../api-client/route.ts'
import type { Client } from '../client.ts'
import { confirmRemoval } from '../confirmation.ts'
import { messageOf } from '../../lib/errors.ts'
import { cell } from '../output.ts'
import { requireProject } from '../service-reference.ts'
import { defineVerb, type VerbGroup } from '../verb.ts'
import type { Certificate } from '../wire.ts'

type Revocation = 'POST /v1/certificates/{certificate_id}/revoke'

const LONGEST_ERROR = 100

const YES = { type: 'boolean', short: 'y', about: 'Do not ask' } as const

const list = defineVerb({
  usage: 'certs ls',
  about: 'Lists certificates: until when each is good, what happens next, and what went wrong last.',
  options: { project: { type: 'string', short: 'p', value: 'PROJECT', about: 'Only those of this project' } },
  operands: [0, 0],
  examples: ['berth certs ls', 'berth certs ls --project shop -o json'],
  run: async ({ connect, flags, output }) => {
    const client = await connect()
    const projectId =
      flags.project === undefined ? undefined : (await requireProject(client, flags.project)).id
    const certificates = await client.list('GET /v1/certificates', { query: { project_id: projectId } })
    output.data(certificates, () => {
      if (certificates.length === 0) return ''
      const colour = { active: 'green', pending: 'yellow', failed: 'red', expired: 'red' } as const
      const rows = certificates.map((each) => [
        cell(each.hostnames.join(' ')),
        cell(each.source),
        output.paint(colour[each.status], each.status),
        servesCell(each),
        cell(each.not_after),
        cell(each.next_attempt_at),
        shortened(cell(each.last_error)),
        cell(each.id),
      ])
      return output.table(
        ['HOSTNAMES', 'SOURCE', 'STATUS', 'SERVES', 'UNTIL', 'NEXT ATTEMPT', 'LAST ERROR', 'ID'],
        rows,
      )
    })
    if (certificates.length === 0) output.note('There is no certificate yet.')
  },
})

const upload = defineVerb({
  usage: 'certs upload CERTIFICATE KEY',
  about:
    'Uploads a certificate (PEM, with the intermediate ones behind it) and its private key. It is served at once for the domains of the project that it covers, instead of any before it.',
  options: {
    project: { type: 'string', short: 'p', value: 'PROJECT', about: 'The project whose domains it is for' },
    node: { type: 'boolean', about: 'It is for the control domain of the server' },
  },
  operands: [2, 2],
  examples: ['berth certs upload fullchain.pem privkey.pem --project shop'],
  run: async ({ connect, directory, flags, operands, output }) => {
    if ((flags.project === undefined) !== flags.node)
      throw new UsageError('say what it is for: --project PROJECT, or --node for the control domain')
    const [certificate = '', privateKey = ''] = await Promise.all(
      operands.map((file) => readPem(resolve(directory, file))),
    )
    const client = await connect()
    const projectId = flags.project === undefined ? null : (await requireProject(client, flags.project)).id
    const made = await client.call('POST /v1/certificates', {
      body: { project_id: projectId, certificate, private_key: privateKey },
    })
    output.data(made, () => cell(made.id))
    output.note(
      `Good until ${cell(made.not_after)}; serves ${made.serves.length === 0 ? 'no domain yet' : cell(made.serves.join(' '))}.`,
    )
  },
})

const renew = defineVerb({
  usage: 'certs renew CERTIFICATE',
  about:
    'Has a certificate obtained, or a self-signed one made anew, now. CERTIFICATE is an id or a hostname.',
  options: {},
  operands: [1, 1],
  examples: ['berth certs renew shop.example.com'],
  run: async ({ connect, operands, output }) => {
    const client = await connect()
    const { id, hostnames } = await requireCertificate(client, operands[0] ?? '')
    const asked = await client.call('POST /v1/certificates/{certificate_id}/renew', {
      params: { certificate_id: id },
    })
    output.data(asked, () => '')
    output.note(`${cell(hostnames.join(' '))} is being renewed; berth certs ls shows how that goes.`)
  },
})

const revoke = defineVerb({
  usage: 'certs revoke CERTIFICATE',
  about:
    'Revokes a certificate that Berth obtained and has another one obtained. CERTIFICATE is an id or a hostname.',
  options: {
    reason: {
      type: 'string',
      value: 'REASON',
      about: 'unspecified, key_compromise, superseded or cessation',
    },
    yes: YES,
  },
  operands: [1, 1],
  examples: ['berth certs revoke shop.example.com --reason key_compromise --yes'],
  run: async (call) => {
    const { flags, operands, output } = call
    const client = await call.connect()
    const { id, hostnames } = await requireCertificate(client, operands[0] ?? '')
    await confirmRemoval(call, flags.yes, `the certificate of ${hostnames.join(' ')}`)
    // The server says which ones there are.
    const body = (flags.reason === undefined ? {} : { reason: flags.reason }) as Body<Revocation>
    const revoked = await client.call('POST /v1/certificates/{certificate_id}/revoke', {
      params: { certificate_id: id },
      body,
    })
    output.data(revoked, () => '')
    output.note('It is revoked; another one is being obtained.')
  },
})

const remove = defineVerb({
  usage: 'certs rm CERTIFICATE',
  about: 'Removes an uploaded certificate. CERTIFICATE is an id or a hostname.',
  options: { yes: YES },
  operands: [1, 1],
  examples: ['berth certs rm shop.example.com --yes'],
  run: async (call) => {
    const client = await call.connect()
    const { id, hostnames } = await requireCertificate(client, call.operands[0] ?? '')
    await confirmRemoval(call, call.flags.yes, `the certificate of ${hostnames.join(' ')}`)
    await client.call('DELETE /v1/certificates/{certificate_id}', { params: { certificate_id: id } })
    call.output.note('It is gone.')
  },
})

export const certs: VerbGroup = {
  about: 'Certificates of domains.',
  verbs: { ls: list, upload, renew, revoke, rm: remove },
  usual: 'ls',
}

async function readPem(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8')
  } catch (error) {
    throw new CliError(`cannot read ${file}: ${messageOf(error)}`)
  }
}

async function requireCertificate(client: Client, given: string): Promise<Certificate> {
  const all = await client.list('GET /v1/certificates')
  const named = all.filter((each) => each.id === given || each.hostnames.includes(given.toLowerCase()))
  // One that is being obtained stands beside the self-signed one that answers until then.
  const others = named.filter(({ source }) => source !== 'self_signed')
  const found = others.length > 0 ? others : named
  const [certificate, second] = found
  if (!certificate)
    throw new CliError(`there is no certificate ${given} that you may see`, {
      exit: EXIT.not_found,
      hints: ['berth certs ls lists them.'],
    })
  if (second)
    throw new UsageError(
      `several certificates are for ${given}: say which by its id`,
      found.map(
        (each) => `${each.id} (${each.source}, until ${cell(each.not_after)}, serves ${servesCell(each)})`,
      ),
    )
  return certificate
}

/** Which of its names it answers to now: `all`, `none`, or these. */
function servesCell({ hostnames, serves }: Certificate): string {
  if (serves.length === 0) return 'none'
  return hostnames.every((name) => serves.includes(name)) ? 'all' : cell(serves.join(' '))
}

/** A table is for the eye; `-o json` has all of it. */
function shortened(text: string): string {
  return text.length <= LONGEST_ERROR ? text : `${text.slice(0, LONGEST_ERROR - 1)}…`
}
