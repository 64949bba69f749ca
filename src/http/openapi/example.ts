import { EXAMPLE_ID } from '../schema.ts'
import type { JsonSchema } from './json-schema.ts'

const EXAMPLE_INSTANT = '2026-01-02T03:04:05.678Z'

const BY_FORMAT: Readonly<Record<string, string>> = { uuid: EXAMPLE_ID, 'date-time': EXAMPLE_INSTANT }

/** A value that fits a schema: its own example, else the plainest one. Of a body only what must be sent or has an example. */
export function exampleOf(schema: JsonSchema, purpose: 'answer' | 'body'): unknown {
  if (schema.examples && schema.examples.length > 0) return schema.examples[0]
  if (schema.const !== undefined) return schema.const
  if (schema.default !== undefined) return schema.default
  if (schema.enum) return schema.enum[0]
  if (schema.anyOf) return exampleOf(schema.anyOf.find((branch) => branch.type !== 'null') ?? {}, purpose)
  const type = [schema.type].flat().find((each) => each !== 'null')
  switch (type) {
    case 'object':
      return exampleObject(schema, purpose)
    case 'array':
      return schema.items && (purpose === 'answer' || (schema.minItems ?? 0) > 0)
        ? [exampleOf(schema.items, purpose)]
        : []
    case 'string':
      return BY_FORMAT[schema.format ?? ''] ?? 'text'
    case 'integer':
    case 'number':
      return schema.minimum ?? 1
    case 'boolean':
      return false
    default:
      return null
  }
}

function exampleObject(schema: JsonSchema, purpose: 'answer' | 'body'): Record<string, unknown> {
  const wanted = Object.entries(schema.properties ?? {}).filter(
    ([name, property]) =>
      purpose === 'answer' || schema.required?.includes(name) || property.examples !== undefined,
  )
  return Object.fromEntries(wanted.map(([name, property]) => [name, exampleOf(property, purpose)]))
}
