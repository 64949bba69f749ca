/** JSON Schema as the API uses it: a part of draft 2020-12, which OpenAPI 3.1 takes as it is. */
export interface JsonSchema {
  type?: string | string[]
  title?: string
  description?: string
  examples?: unknown[]
  default?: unknown
  const?: unknown
  enum?: unknown[]
  anyOf?: JsonSchema[]
  properties?: Record<string, JsonSchema>
  patternProperties?: Record<string, JsonSchema>
  additionalProperties?: boolean | JsonSchema
  required?: string[]
  items?: JsonSchema
  minItems?: number
  minimum?: number
  pattern?: string
  format?: string
  $ref?: string
  [keyword: string]: unknown
}

/** A copy without TypeBox's hidden marks. */
export function plainSchema(schema: unknown): JsonSchema {
  return JSON.parse(JSON.stringify(schema)) as JsonSchema
}

const COMPONENT = '#/components/schemas/'

/**
 * Moves every schema that has a title into `components` and leaves a reference, so that clients get named types. Throws when two different
 * schemas have the same title.
 */
export function hoistTitled(schema: JsonSchema, components: Record<string, JsonSchema>): JsonSchema {
  const inner = mapChildren(schema, (child) => hoistTitled(child, components))
  if (schema.title === undefined) return inner
  const { title: name, ...rest } = inner
  if (name === undefined) return inner
  const known = components[name]
  if (known && JSON.stringify(known) !== JSON.stringify(rest))
    throw new Error(`two schemas are called ${name}`)
  components[name] = rest
  return { $ref: COMPONENT + name }
}

function mapChildren(schema: JsonSchema, map: (child: JsonSchema) => JsonSchema): JsonSchema {
  const all = (children: Record<string, JsonSchema>) =>
    Object.fromEntries(Object.entries(children).map(([name, child]) => [name, map(child)]))
  const { properties, patternProperties, additionalProperties, items, anyOf } = schema
  return {
    ...schema,
    ...(properties && { properties: all(properties) }),
    ...(patternProperties && { patternProperties: all(patternProperties) }),
    ...(typeof additionalProperties === 'object' && { additionalProperties: map(additionalProperties) }),
    ...(items && { items: map(items) }),
    ...(anyOf && { anyOf: anyOf.map(map) }),
  }
}
