import { Ajv, type ErrorObject } from 'ajv'
import { CliError, EXIT, UsageError } from '../cli-error.ts'
import type { Client } from '../client.ts'
import { type ManifestFile, MANIFEST_FILE, readManifestFile } from './manifest-file.ts'

/** JSON Schema as the server describes a manifest with it. */
export interface FieldSchema {
  default?: unknown
  properties?: Record<string, FieldSchema>
  items?: FieldSchema
  anyOf?: FieldSchema[]
}

/** A service as the manifest has it. */
export interface ManifestService {
  name: string
  /** What the manifest says, by field, without env and secrets; `none` has become null. */
  fields: Readonly<Record<string, unknown>>
  /** Undefined when the manifest says nothing about variables: then they are left alone. */
  env: Readonly<Record<string, string>> | undefined
  /** Names of variables whose values only the server has. */
  secrets: readonly string[]
}

/** A berth.toml that holds for this server. */
export interface Manifest {
  path: string
  project: string | undefined
  services: readonly ManifestService[]
  /** The fields of a service, with their defaults. */
  schema: Readonly<Record<string, FieldSchema>>
}

/** Reads the manifest of a folder and checks it against what the server takes. Throws a CliError with a line for each thing that is wrong. */
export async function requireManifest(client: Client, folder: string): Promise<Manifest> {
  const file = readManifestFile(folder)
  if (!file) throw new UsageError(`there is no ${MANIFEST_FILE} in ${folder}`)
  return checkManifest(client, file)
}

/** Whether a folder's berth.toml says how services are set up, or only which one the folder is. */
export function describesServices(folder: string): boolean {
  return readManifestFile(folder)?.values['services'] !== undefined
}

async function checkManifest(client: Client, file: ManifestFile): Promise<Manifest> {
  const { $schema: _, ...whole } = await readSchema(client)
  const validate = new Ajv({ allErrors: true, strict: false }).compile(whole)
  if (!validate(file.values)) {
    const problems = (validate.errors ?? []).flatMap((each) => describeProblem(file, each))
    throw new CliError(`${file.path} does not hold what this server knows`, {
      exit: EXIT.failed,
      hints: [...new Set(problems)].slice(0, 50),
    })
  }
  const { properties } = whole as { properties: { services: { additionalProperties: FieldSchema } } }
  const { env: __, secrets: ___, ...schema } = properties.services.additionalProperties.properties ?? {}
  const { project, services = {} } = file.values as Values
  return {
    path: file.path,
    project,
    schema,
    services: Object.entries(services).map(([name, each]) => readService(file, name, each, schema)),
  }
}

interface Values {
  project?: string
  services?: Record<string, Section>
}

type Section = Record<string, unknown> & { env?: Record<string, string>; secrets?: string[] }

async function readSchema(client: Client): Promise<Record<string, unknown>> {
  try {
    return await client.call('GET /v1/manifest-schema.json')
  } catch (error) {
    if (!(error instanceof CliError) || error.exit !== EXIT.not_found) throw error
    throw new CliError('this server is too old for manifests', { cause: error })
  }
}

function readService(
  file: ManifestFile,
  name: string,
  { env, secrets, ...fields }: Section,
  schema: Manifest['schema'],
): ManifestService {
  const both = secrets?.find((each) => Object.hasOwn(env ?? {}, each))
  if (both !== undefined) {
    throw new CliError(
      `${file.placeOf(['services', name, 'secrets'])}: ${both} is among env too, where everyone may read it`,
    )
  }
  const read = Object.entries(fields).map(([field, value]) => [
    field,
    schema[field]?.anyOf && value === 'none' ? null : value,
  ])
  refuseManyWriters(file, name, fields)
  const touchesEnv = env !== undefined || secrets !== undefined
  return {
    name,
    fields: Object.fromEntries(read),
    env: touchesEnv ? (env ?? {}) : undefined,
    secrets: secrets ?? [],
  }
}

/** The server would refuse it when it is applied; a plan must not promise what cannot be made. */
function refuseManyWriters(file: ManifestFile, name: string, fields: Fields): void {
  const { replicas, volumes, autoscale } = fields
  const isWritten = Array.isArray(volumes) && volumes.some((each: Fields) => each['read_only'] !== true)
  const most: [key: string[], count: unknown][] = [
    [['replicas'], replicas],
    [['autoscale', 'max_replicas'], (autoscale as Fields | undefined)?.['max_replicas']],
  ]
  const [excess] = most.find(([, count]) => Number(count ?? 1) > 1) ?? []
  if (!isWritten || !excess) return
  const key = ['services', name, ...excess]
  throw new CliError(
    `${file.placeOf(key)}: ${key.join('.')} must be at most 1 for a service that writes into a volume; for more, mount each read_only`,
  )
}

type Fields = Readonly<Record<string, unknown>>

/** `path:line: services.web.replicas must be integer`. */
function describeProblem(
  file: ManifestFile,
  { instancePath, keyword, params, message }: ErrorObject,
): string[] {
  // What failed inside of these is reported by itself.
  if (keyword === 'if' || (keyword === 'const' && params['allowedValue'] === 'none')) return []
  const at = instancePath
    .split('/')
    .slice(1)
    .map((each) => each.replaceAll('~1', '/').replaceAll('~0', '~'))
  const extra: unknown = params['additionalProperty'] ?? params['propertyName']
  const key = typeof extra === 'string' ? [...at, extra] : at
  const said = keyword === 'additionalProperties' ? 'is not a known key' : sentence(keyword, params, message)
  return [`${file.placeOf(key)}: ${key.join('.')} ${said}`]
}

function sentence(keyword: string, params: Record<string, unknown>, message: string | undefined): string {
  if (keyword === 'enum' && Array.isArray(params['allowedValues']))
    return `must be one of ${params['allowedValues'].join(', ')}`
  if (keyword === 'anyOf') return 'must be a number, or "none"'
  return message ?? 'is not valid'
}
