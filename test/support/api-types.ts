import type { OpenApiDocument } from '../../src/http/openapi/document.ts'
import type { JsonSchema } from '../../src/http/openapi/json-schema.ts'
import type { AnswerObject, Operation, Parameter } from '../../src/http/openapi/operation.ts'
import { resolveReference } from './openapi-reference.ts'

/** TypeScript declarations of everything in the document: one type a schema, and what each operation takes and answers. */
export function declareTypes(document: OpenApiDocument): string {
  const schemas = Object.entries(document.components.schemas).map(
    ([name, schema]) => `${comment(schema.description, '')}export type ${name} = ${typeOf(schema, '')}\n`,
  )
  const operations = Object.entries(document.paths).flatMap(([path, item]) =>
    Object.entries(item).map(([method, operation]) => declareOperation(document, path, method, operation)),
  )
  return [
    '// Made from openapi.json by `npm run openapi`: change the schemas of the routes, not this file.\n',
    ...schemas,
    `/** By operationId. */\nexport interface Operations {\n${operations.join('')}}\n`,
  ].join('\n')
}

function declareOperation(
  document: OpenApiDocument,
  path: string,
  method: string,
  operation: Operation,
): string {
  const parameters = operation.parameters.map((each) => resolveReference<Parameter>(document, each))
  const group = (place: Parameter['in']): string => {
    const fields = parameters
      .filter((parameter) => parameter.in === place)
      .map(({ name, required, schema }) => `${name}${required ? '' : '?'}: ${typeOf(schema, '    ')}`)
    return fields.length === 0 ? 'Record<never, never>' : `{ ${fields.join('; ')} }`
  }
  const body = operation.requestBody?.content['application/json']?.schema
  const raw = operation.requestBody && !body ? 'ReadableStream | Uint8Array' : 'undefined'
  return [
    `  /** ${operation.summary} */\n`,
    `  ${operation.operationId}: {\n`,
    `    method: '${method.toUpperCase()}'\n`,
    `    path: '${path}'\n`,
    `    params: ${group('path')}\n`,
    `    query: ${group('query')}\n`,
    `    body: ${body ? typeOf(body, '    ') : raw}\n`,
    `    answer: ${answerType(document, operation)}\n`,
    '  }\n',
  ].join('')
}

function answerType(document: OpenApiDocument, operation: Operation): string {
  const good = Object.entries(operation.responses).filter(([status]) => status.startsWith('2'))
  const types = good.map(([, answer]) => {
    const { content } = resolveReference<AnswerObject>(document, answer)
    if (!content) return 'undefined'
    const json = content['application/json']?.schema
    return json ? typeOf(json, '    ') : 'string'
  })
  return [...new Set(types)].join(' | ')
}

function typeOf(schema: JsonSchema, indent: string): string {
  if (schema.$ref !== undefined) return schema.$ref.slice('#/components/schemas/'.length)
  if (schema.const !== undefined) return JSON.stringify(schema.const)
  if (schema.enum) return schema.enum.map((value) => literal(value)).join(' | ')
  if (schema.anyOf) return schema.anyOf.map((branch) => typeOf(branch, indent)).join(' | ')
  const types = [schema.type ?? []].flat().map((type) => typeOfKind(type, schema, indent))
  return types.length === 0 ? 'unknown' : types.join(' | ')
}

function literal(value: unknown): string {
  return typeof value === 'string' ? `'${value}'` : JSON.stringify(value)
}

function typeOfKind(type: string, schema: JsonSchema, indent: string): string {
  if (type === 'integer') return 'number'
  if (type === 'array') {
    const item = typeOf(schema.items ?? {}, indent)
    return /[ |{]/.test(item) ? `(${item})[]` : `${item}[]`
  }
  return type === 'object' ? objectType(schema, indent) : type
}

function objectType(schema: JsonSchema, indent: string): string {
  const inner = `${indent}  `
  const { properties, patternProperties, additionalProperties: extra } = schema
  if (!properties) {
    const value = Object.values(patternProperties ?? {})[0] ?? (typeof extra === 'object' ? extra : {})
    return `Record<string, ${typeOf(value, indent)}>`
  }
  const fields = Object.entries(properties).map(([name, property]) => {
    const mark = schema.required?.includes(name) ? '' : '?'
    return `${comment(property.description, inner)}${inner}${name}${mark}: ${typeOf(property, inner)}\n`
  })
  return `{\n${fields.join('')}${indent}}`
}

function comment(text: string | undefined, indent: string): string {
  return text === undefined ? '' : `${indent}/** ${text.replaceAll('*/', '* /')} */\n`
}
