import { readFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { messageOf } from '../../lib/errors.ts'
import { UsageError } from '../cli-error.ts'
import type { Client } from '../client.ts'
import { finishDeployment } from '../deployment-end.ts'
import { readAssignment, readEnvFile, writeEnvFile } from '../env-file.ts'
import { cell } from '../output.ts'
import { requireService, serviceHint } from '../service-reference.ts'
import { type Call, defineVerb, type Options, type Surroundings, type VerbGroup } from '../verb.ts'
import type { Service } from '../wire.ts'

const SERVICE = {
  service: {
    type: 'string',
    short: 's',
    value: 'SERVICE',
    about: 'The service: NAME or PROJECT/NAME, unless this folder is linked to one',
  },
  project: { type: 'string', short: 'p', value: 'PROJECT', about: 'Its project' },
} as const

const REDEPLOY = {
  redeploy: {
    type: 'boolean',
    about: 'Deploy the live release once more with the new values, and wait for it',
  },
} as const

const LARGEST_FILE = 1024 ** 2

type ServiceCall = Call<typeof SERVICE>

const list = defineVerb({
  usage: 'env ls',
  about:
    'Lists the names of the environment variables of a service. The values are shown only with --values.',
  options: { ...SERVICE, values: { type: 'boolean', about: 'Show the values too' } },
  operands: [0, 0],
  examples: ['berth env ls', 'berth env ls --service shop/web --values'],
  run: async (call) => {
    const { output, flags } = call
    const { client, service } = await find(call)
    const env = await client.call('GET /v1/services/{id}/env', { params: { id: service.id } })
    const names = Object.keys(env).toSorted()
    output.data(flags.values ? env : names, () => {
      if (names.length === 0) return ''
      if (!flags.values) return names.join('\n')
      return output.table(
        ['NAME', 'VALUE'],
        names.map((name) => [cell(name), cell(env[name])]),
      )
    })
    if (names.length === 0) output.note(`${service.name} has no variables.`)
  },
})

const set = defineVerb({
  usage: 'env set NAME[=VALUE] ...',
  about:
    'Sets environment variables; the others stay. What stands on a command line can be read by everyone on the machine and stays in the history of the shell, so give a secret by its NAME alone: ' +
    'it is asked for without being shown, or read from stdin, or from a file with --file.',
  options: {
    ...SERVICE,
    ...REDEPLOY,
    file: {
      type: 'string',
      multiple: true,
      value: 'NAME=PATH',
      about: 'Take the value from a file, without the line end behind it',
    },
  },
  operands: [0, 100],
  examples: [
    'berth env set GREETING=hello',
    'berth env set DATABASE_URL --redeploy',
    'pass show shop/db | berth env set DATABASE_URL --service shop/web',
    'berth env set --file TLS_KEY=key.pem',
  ],
  run: async (call) => {
    const values = await readValues(call)
    const { client, service } = await find(call)
    await client.call('PATCH /v1/services/{id}/env', {
      params: { id: service.id },
      body: { set: values },
    })
    call.output.note(`Set ${Object.keys(values).join(', ')} of ${service.name}.`)
    await comeIntoEffect(call, client, service)
  },
})

async function readValues({
  operands,
  flags,
  terminal,
  directory,
}: Surroundings & { operands: readonly string[]; flags: { file: readonly string[] } }): Promise<
  Record<string, string>
> {
  const values = new Map<string, string>()
  const add = (name: string, value: string): void => {
    if (values.has(name)) throw new UsageError(`${name} is given twice`)
    values.set(name, value)
  }
  const given = operands.map(readOperand)
  const open = given.filter(({ value }) => value === undefined)
  if (open.length > 1 && !terminal.interactive)
    throw new UsageError('stdin holds one value: give one NAME at a time, or use berth env import')
  for (const { name, value } of given) {
    if (value !== undefined) add(name, value)
    else
      add(
        name,
        terminal.interactive ? await terminal.askSecret(`Value of ${name}:`) : await terminal.readSecret(),
      )
  }
  for (const each of flags.file) {
    const { name, value: path } = readAssignment(each)
    if (path === undefined) throw new UsageError(`--file ${each} is not NAME=PATH`)
    add(name, (await readText(resolve(directory, path))).replace(/\r?\n$/, ''))
  }
  if (values.size === 0) throw new UsageError('say what to set: NAME=VALUE, NAME, or --file NAME=PATH')
  return Object.fromEntries(values)
}

function readOperand(text: string): ReturnType<typeof readAssignment> {
  const hints = serviceHint(text)
  if (hints.length > 0) throw new UsageError(`${text} is no variable`, hints)
  return readAssignment(text)
}

const unset = defineVerb({
  usage: 'env unset NAME ...',
  about: 'Removes environment variables.',
  options: { ...SERVICE, ...REDEPLOY },
  operands: [1, 100],
  examples: ['berth env unset OLD_NAME --service shop/web'],
  run: async (call) => {
    call.operands.forEach(readOperand)
    const { client, service } = await find(call)
    const params = { id: service.id }
    const before = await client.call('GET /v1/services/{id}', { params })
    const missing = call.operands.filter((name) => !Object.hasOwn(before.env, name))
    await client.call('PATCH /v1/services/{id}/env', { params, body: { unset: [...call.operands] } })
    if (missing.length > 0) call.output.note(`There was no ${missing.join(', ')}.`)
    call.output.note(`Removed ${call.operands.length - missing.length} of ${service.name}.`)
    if (missing.length < call.operands.length) await comeIntoEffect(call, client, service)
  },
})

const importEnv = defineVerb({
  usage: 'env import FILE',
  about:
    'Sets all variables of a .env file; - reads it from stdin. Other variables of the service stay, or go with --replace.',
  options: {
    ...SERVICE,
    ...REDEPLOY,
    replace: { type: 'boolean', about: 'Remove the variables that are not in the file' },
  },
  operands: [1, 1],
  examples: ['berth env import .env', 'sops decrypt secrets.env | berth env import - --service shop/web'],
  run: async (call) => {
    const { operands, directory, terminal, flags, output } = call
    const [file = ''] = operands
    const text =
      file === '-' ? await terminal.readInput(LARGEST_FILE) : await readText(resolve(directory, file))
    const env = readEnvFile(text, file === '-' ? 'stdin' : file, (names) =>
      output.warn(
        `${names.join(', ')}: without quotes the value ends before its #, where a remark begins; put it in quotes to have all of it`,
      ),
    )
    const { client, service } = await find(call)
    const params = { id: service.id }
    if (flags.replace) await client.call('PUT /v1/services/{id}/env', { params, body: env })
    else await client.call('PATCH /v1/services/{id}/env', { params, body: { set: env } })
    const names = Object.keys(env)
    output.note(`Set ${names.length} variables of ${service.name}: ${names.join(', ')}.`)
    await comeIntoEffect(call, client, service)
  },
})

const exportEnv = defineVerb({
  usage: 'env export',
  about:
    'Prints the variables of a service with their values, as a .env file; with -o json as an object. Mind where it goes: these may be secrets.',
  options: SERVICE,
  operands: [0, 0],
  examples: ['berth env export > .env', 'berth env export --service shop/web -o json'],
  run: async (call) => {
    const { client, service } = await find(call)
    const env = await client.call('GET /v1/services/{id}/env', { params: { id: service.id } })
    call.output.data(env, () => writeEnvFile(env).trimEnd())
  },
})

async function find<O extends Options>(
  call: Surroundings & { flags: ServiceCall['flags'] } & Pick<Call<O>, 'operands'>,
): Promise<{ client: Client; service: Service }> {
  const client = await call.connect()
  return { client, service: await requireService(call, client, call.flags.service, call.flags.project) }
}

async function comeIntoEffect(
  call: Surroundings & { flags: { redeploy: boolean } },
  client: Client,
  service: Service,
): Promise<void> {
  if (!call.flags.redeploy) {
    call.output.note('It comes into effect with the next deployment: berth redeploy, or --redeploy.')
    return
  }
  const deployment = await client.call('POST /v1/deployments', {
    body: { service_id: service.id, source: { type: 'redeploy' } },
    idempotencyKey: call.system.newId(),
  })
  await finishDeployment(call, client, { service, deployment, detach: false })
}

async function readText(path: string): Promise<string> {
  try {
    const text = await readFile(path, 'utf8')
    if (text.length > LARGEST_FILE) throw new UsageError(`${path} is too large`)
    return text
  } catch (error) {
    throw error instanceof UsageError ? error : new UsageError(`cannot read ${path}: ${messageOf(error)}`)
  }
}

export const env: VerbGroup = {
  about: 'The environment variables of a service.',
  verbs: { ls: list, set, unset, import: importEnv, export: exportEnv },
  usual: 'ls',
}
