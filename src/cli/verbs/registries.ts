import { readFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { messageOf } from '../../lib/errors.ts'
import { CliError, EXIT, UsageError } from '../cli-error.ts'
import type { Client } from '../client.ts'
import { confirmRemoval } from '../confirmation.ts'
import { readLink } from '../link-file.ts'
import { cell } from '../output.ts'
import { chooseProject } from '../service-reference.ts'
import { type Call, defineVerb, type VerbGroup } from '../verb.ts'
import type { ExternalRegistry, Project } from '../wire.ts'

const PROJECT = {
  project: {
    type: 'string',
    short: 'p',
    value: 'PROJECT',
    about: 'The project, unless this folder is linked to one',
  },
} as const

const CREDENTIALS = {
  ...PROJECT,
  username: { type: 'string', short: 'u', value: 'NAME', about: 'The user name, for basic' },
  'secret-stdin': { type: 'boolean', about: 'Read the password or token from stdin' },
  'secret-file': { type: 'string', value: 'FILE', about: 'Read the password or token from a file' },
} as const

/** Tokens of cloud providers run to some thousand characters; the server takes as many. */
const LONGEST_SECRET = 16_384

const KINDS = ['anonymous', 'basic', 'token', 'ecr_token', 'gar_token'] as const
type AuthKind = (typeof KINDS)[number]

const list = defineVerb({
  usage: 'registries ls',
  about: 'Lists the external registries of a project. Their passwords and tokens are never shown.',
  options: PROJECT,
  operands: [0, 0],
  examples: ['berth registries ls --project shop'],
  run: async (call) => {
    const { client, project } = await find(call)
    const found = await registriesOf(client, project)
    call.output.data(found, () => {
      if (found.length === 0) return ''
      const rows = found.map((each) => [
        cell(each.name),
        cell(each.endpoint),
        cell(each.auth_kind),
        cell(each.updated_at),
        cell(each.id),
      ])
      return call.output.table(['NAME', 'ENDPOINT', 'AUTH', 'CHANGED', 'ID'], rows)
    })
    if (found.length === 0) call.output.note(`${project.name} has no external registries.`)
  },
})

const add = defineVerb({
  usage: 'registries add NAME ENDPOINT',
  about:
    'Adds a registry that services of a project take images from. Its password or token is asked for, or read from stdin or a file; it is never given on the command line, and never shown again.',
  options: {
    ...CREDENTIALS,
    auth: {
      type: 'string',
      value: 'KIND',
      about: `${KINDS.join(', ')}; unless given, basic with --username and anonymous without`,
    },
  },
  operands: [2, 2],
  examples: [
    'berth registries add ghcr ghcr.io --username olive --secret-file ghcr-token',
    'aws ecr get-login-password | berth registries add ecr 123456789012.dkr.ecr.eu-west-1.amazonaws.com --auth ecr_token --secret-stdin',
  ],
  run: async (call) => {
    const [name = '', endpoint = ''] = call.operands
    const auth_kind = readKind(call.flags.auth ?? (call.flags.username === undefined ? 'anonymous' : 'basic'))
    checkFlags(call, auth_kind)
    const { client, project } = await find(call)
    const body = { name, endpoint, auth_kind, ...(await readCredentials(call, auth_kind, endpoint)) }
    const params = { id: project.id }
    const added = await client.call('POST /v1/projects/{id}/registries', { params, body })
    call.output.data(added, () => cell(added.id))
    call.output.note(`Services of ${project.name} may take images from ${added.endpoint} now.`)
  },
})

const renew = defineVerb({
  usage: 'registries renew NAME',
  about: 'Replaces the password or token of a registry: one that was changed there, or has run out.',
  options: CREDENTIALS,
  operands: [1, 1],
  examples: ['aws ecr get-login-password | berth registries renew ecr --secret-stdin'],
  run: async (call) => {
    const { client, registry, params } = await findRegistry(call)
    if (registry.auth_kind === 'anonymous')
      throw new UsageError(`${registry.name} is shown neither password nor token`)
    checkFlags(call, registry.auth_kind)
    const body = await readCredentials(call, registry.auth_kind, registry.endpoint)
    const renewed = await client.call('PATCH /v1/projects/{id}/registries/{registry_id}', { params, body })
    call.output.data(renewed, () => '')
    call.output.note(`${registry.endpoint} is shown the new credentials from now on.`)
  },
})

const remove = defineVerb({
  usage: 'registries rm NAME',
  about: 'Removes a registry with its credentials. One that a service takes its image from stays.',
  options: { ...PROJECT, yes: { type: 'boolean', short: 'y', about: 'Do not ask' } },
  operands: [1, 1],
  examples: ['berth registries rm ghcr --project shop'],
  run: async (call) => {
    const { client, project, registry, params } = await findRegistry(call)
    await confirmRemoval(call, call.flags.yes, `the registry ${registry.name} of ${project.name}`)
    await client.call('DELETE /v1/projects/{id}/registries/{registry_id}', { params })
    call.output.note(`${registry.name} is gone.`)
  },
})

export const registries: VerbGroup = {
  about: 'Registries of others that a project takes images from.',
  verbs: { ls: list, add, renew, rm: remove },
  usual: 'ls',
}

async function find(call: Call<typeof PROJECT>): Promise<{ client: Client; project: Project }> {
  const client = await call.connect()
  return {
    client,
    project: await chooseProject(client, call.flags.project ?? readLink(call.directory).project),
  }
}

async function findRegistry(call: Call<typeof PROJECT>) {
  const [given] = call.operands
  const { client, project } = await find(call)
  const all = await registriesOf(client, project)
  const registry = all.find(({ id, name }) => name === given || id === given)
  if (registry) return { client, project, registry, params: { id: project.id, registry_id: registry.id } }
  throw new CliError(`${project.name} has no external registry ${given}`, {
    exit: EXIT.not_found,
    hints: ['berth registries ls lists them.'],
  })
}

function registriesOf(client: Client, { id }: Project): Promise<ExternalRegistry[]> {
  return client.list('GET /v1/projects/{id}/registries', { params: { id } })
}

function readKind(given: string): AuthKind {
  const kind = KINDS.find((each) => each === given)
  if (kind === undefined) throw new UsageError(`--auth ${given}: there is ${KINDS.join(', ')}`)
  return kind
}

/** What does not go together is said before anything is read or asked for. */
function checkFlags({ flags }: Call<typeof CREDENTIALS>, kind: AuthKind): void {
  const { username, 'secret-stdin': fromStdin, 'secret-file': file } = flags
  if (fromStdin && file !== undefined)
    throw new UsageError('--secret-stdin and --secret-file contradict each other')
  if (kind === 'anonymous' && (fromStdin || file !== undefined))
    throw new UsageError('say what the secret is: --username NAME for a password, --auth token for a token')
  if (kind === 'basic' && username === undefined)
    throw new UsageError('say whose password it is: --username NAME')
  if (kind !== 'basic' && username !== undefined)
    throw new UsageError(`--username does not belong to ${kind}`)
}

async function readCredentials(
  call: Call<typeof CREDENTIALS>,
  kind: AuthKind,
  endpoint: string,
): Promise<{ username?: string; password?: string; token?: string }> {
  const { username } = call.flags
  if (kind === 'anonymous') return {}
  if (kind !== 'basic' || username === undefined)
    return { token: await readSecret(call, `Token for ${endpoint}:`) }
  return { username, password: await readSecret(call, `Password of ${username} at ${endpoint}:`) }
}

async function readSecret(
  { directory, flags, terminal }: Call<typeof CREDENTIALS>,
  question: string,
): Promise<string> {
  const file = flags['secret-file']
  if (file === undefined && !flags['secret-stdin']) {
    if (!terminal.interactive) throw new UsageError('give the secret: --secret-stdin or --secret-file FILE')
    return terminal.askSecret(question)
  }
  const text =
    file === undefined
      ? await terminal.readInput(LONGEST_SECRET + 2)
      : await readSecretFile(resolve(directory, file))
  const secret = text.replace(/\r?\n$/, '')
  if (secret === '')
    throw new UsageError(`there is no secret ${file === undefined ? 'on stdin' : `in ${file}`}`)
  return secret
}

async function readSecretFile(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8')
  } catch (error) {
    throw new UsageError(`cannot read ${file}: ${messageOf(error)}`)
  }
}
