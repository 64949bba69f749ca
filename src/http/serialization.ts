import stringifierOf from 'fast-json-stringify'
import type { FastifySerializerCompiler } from 'fastify'
import type { TSchema } from 'typebox'

/**
 * Compiles the schemas of answers when they are first needed (ADR 37). A route describes a dozen answers, mostly refusals, of which few
 * are ever given.
 */
export function createSerializerCompiler(): FastifySerializerCompiler<TSchema> {
  return ({ schema }) => {
    let stringify: ((data: unknown) => string) | undefined
    return (data: unknown) => (stringify ??= stringifierOf(schema))(data)
  }
}
