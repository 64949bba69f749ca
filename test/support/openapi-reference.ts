import type { OpenApiDocument } from '../../src/http/openapi/document.ts'

/** What a reference of the document leads to; anything else as it is. */
export function resolveReference<T>(document: OpenApiDocument, value: T | { $ref: string }): T {
  if (typeof value !== 'object' || value === null || !('$ref' in value)) return value
  const keys = value.$ref.slice('#/'.length).split('/')
  return keys.reduce<unknown>((at, key) => (at as Record<string, unknown>)[key], document) as T
}
