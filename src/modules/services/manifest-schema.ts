import { ENV_NAME_PATTERN } from '../secrets/env-schema.ts'
import { ServiceReplace } from './service-input-schema.ts'

/** A JSON Schema of draft 7, which is what editors check TOML files with. */
export interface ManifestSchema {
  type?: string | string[]
  description?: string
  default?: unknown
  properties?: Record<string, ManifestSchema>
  items?: ManifestSchema
  additionalProperties?: boolean | ManifestSchema
  [keyword: string]: unknown
}

/** What holds for fields that are left out of an object, and inside of those that are objects, or lists of them, themselves. */
export interface Defaults {
  values: Readonly<Record<string, unknown>>
  inside?: Readonly<Record<string, Defaults>>
}

const NAME = '^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$'
const EnvName = { type: 'string', pattern: ENV_NAME_PATTERN, maxLength: 255 }

/**
 * What a `berth.toml` may hold: the fields that the API takes for a service, with the defaults of those that are left out; made from the schema that
 * validates requests, so that the two cannot differ.
 */
export function describeManifest(defaults: Defaults): ManifestSchema {
  return {
    $schema: 'http://json-schema.org/draft-07/schema#',
    title: 'berth.toml',
    description: 'What a folder is deployed to, and how the services of a project are set up.',
    type: 'object',
    additionalProperties: false,
    properties: {
      project: { type: 'string', pattern: NAME, description: 'The project that the services belong to.' },
      service: {
        type: 'string',
        pattern: NAME,
        description: 'The service that this folder is. May be left out where services has just one.',
      },
      services: {
        type: 'object',
        description: 'Services by name. Those of the project that are not named here are left alone.',
        propertyNames: { pattern: NAME },
        additionalProperties: serviceSchema(defaults),
      },
    },
  }
}

function serviceSchema({ values, inside }: Defaults): ManifestSchema {
  const sent = JSON.parse(JSON.stringify(ServiceReplace.properties)) as Record<string, ManifestSchema>
  const fields = Object.entries(sent)
    .filter(([name]) => name !== 'name' && name !== 'env')
    .map(([name, schema]): [string, ManifestSchema] => [name, forToml(schema, values[name], inside?.[name])])
  return {
    type: 'object',
    description: 'All of a service: what is left out has its default.',
    additionalProperties: false,
    properties: {
      ...Object.fromEntries(fields),
      env: {
        type: 'object',
        propertyNames: EnvName,
        additionalProperties: { type: 'string' },
        description:
          'Variables that everyone with the repository may read. Secrets go into `secrets`, by name.',
      },
      secrets: {
        type: 'array',
        items: EnvName,
        uniqueItems: true,
        description: 'Names of variables whose values are kept on the server: berth env set NAME.',
      },
    },
  }
}

/** TOML has no null. Where null is not what holds anyway (`internal_port`), the word `none` stands for it. */
function forToml(schema: ManifestSchema, value: unknown, within?: Defaults): ManifestSchema {
  const { type, properties, items, ...rest } = schema
  const isNullable = Array.isArray(type) && type.includes('null')
  const kind = Array.isArray(type) ? type.find((each) => each !== 'null') : type
  const values = { ...within?.values, ...(typeof value === 'object' ? value : null) } as Defaults['values']
  const inner = properties && {
    properties: Object.fromEntries(
      Object.entries(properties).map(([name, each]) => [
        name,
        forToml(each, values[name], within?.inside?.[name]),
      ]),
    ),
  }
  const list = items && { items: within ? forToml(items, undefined, within) : items }
  const plain = { ...rest, ...inner, ...list, ...(kind === undefined ? {} : { type: kind }) }
  if (value === undefined) return plain
  if (!isNullable || typeof value !== 'number') return { ...plain, default: value }
  const { description, ...bare } = plain
  return {
    ...(description === undefined ? {} : { description }),
    anyOf: [bare, { const: 'none' }],
    default: value,
  }
}
