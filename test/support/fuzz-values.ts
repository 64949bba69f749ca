import * as fc from 'fast-check'
import type { OpenApiDocument } from '../../src/http/openapi/document.ts'
import type { JsonSchema } from '../../src/http/openapi/json-schema.ts'
import { resolveReference } from './openapi-reference.ts'

/** High enough that a body of thirty fields is now and then right in all of them. */
const FITTING_TO_NONSENSE = 50

/** Values that fit a schema mostly, and now and then do not. */
export function valueFor(document: OpenApiDocument, schema: JsonSchema, depth = 0): fc.Arbitrary<unknown> {
  const inner = resolveReference<JsonSchema>(document, schema)
  return fc.oneof(
    { weight: FITTING_TO_NONSENSE, arbitrary: fitting(document, inner, depth) },
    { weight: 1, arbitrary: nonsense },
  )
}

const nonsense: fc.Arbitrary<unknown> = fc.oneof(
  fc.constantFrom(
    null,
    '',
    -1,
    1e308,
    Number.MAX_SAFE_INTEGER + 1,
    '__proto__',
    '\u0000',
    '\ud800',
    '../..',
    '%00',
    true,
    [],
    {},
  ),
  fc.string({ unit: 'binary', maxLength: 60 }),
  fc.jsonValue({ maxDepth: 2 }),
)

function fitting(document: OpenApiDocument, schema: JsonSchema, depth: number): fc.Arbitrary<unknown> {
  if (depth > 5) return fc.constant(null)
  if (schema.examples && schema.examples.length > 0 && depth > 0) return fc.constantFrom(...schema.examples)
  if (schema.enum) return fc.constantFrom(...schema.enum)
  if (schema.const !== undefined) return fc.constant(schema.const)
  if (schema.anyOf) return fc.oneof(...schema.anyOf.map((branch) => valueFor(document, branch, depth + 1)))
  const kinds = [schema.type ?? []].flat()
  return kinds.length === 0
    ? nonsense
    : fc.oneof(...kinds.map((kind) => ofKind(document, kind, schema, depth)))
}

function ofKind(
  document: OpenApiDocument,
  kind: string,
  schema: JsonSchema,
  depth: number,
): fc.Arbitrary<unknown> {
  switch (kind) {
    case 'string':
      if (schema.format === 'uuid') return fc.uuid()
      if (schema.format === 'date-time')
        return fc.date({ noInvalidDate: true }).map((date) => date.toISOString())
      return schema.pattern === undefined ? fc.string({ maxLength: 40 }) : matching(schema.pattern)
    case 'integer':
    case 'number':
      return fc.integer({
        min: (schema.minimum ?? 0) - 1,
        max: Math.min(Number(schema['maximum'] ?? 100), 2 ** 31 - 2) + 1,
      })
    case 'boolean':
      return fc.boolean()
    case 'array':
      return fc.array(valueFor(document, schema.items ?? {}, depth + 1), { maxLength: 4 })
    case 'object':
      return objectFor(document, schema, depth)
    default:
      return fc.constant(null)
  }
}

/** Texts of a pattern, or where that is more than fast-check can make, of a name. */
function matching(pattern: string): fc.Arbitrary<string> {
  try {
    return fc.stringMatching(new RegExp(pattern), { size: 'small' })
  } catch {
    return fc.stringMatching(/^[a-z][a-z0-9-]{0,12}$/)
  }
}

function objectFor(document: OpenApiDocument, schema: JsonSchema, depth: number): fc.Arbitrary<unknown> {
  const { properties } = schema
  if (!properties) return fc.dictionary(fc.string({ maxLength: 12 }), nonsense, { maxKeys: 4 })
  const fields = Object.fromEntries(
    Object.entries(properties).map(([name, property]) => [name, valueFor(document, property, depth + 1)]),
  )
  const record = fc.record(fields, { requiredKeys: [] })
  const required = (schema.required ?? []).filter((name) => name in fields)
  const complete = fc.record(fields, { requiredKeys: required })
  return fc.oneof(
    { weight: 5, arbitrary: complete },
    { weight: 1, arbitrary: record },
    {
      weight: 1,
      arbitrary: fc
        .tuple(complete, fc.string({ maxLength: 8 }))
        .map(([body, key]) => Object.assign({ [key]: 1 }, body)),
    },
  )
}
