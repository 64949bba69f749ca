import { Ajv, type Options, type ValidateFunction } from 'ajv'
import addFormats from 'ajv-formats'
import type { FastifyRequest, FastifySchemaCompiler } from 'fastify'
import type { TSchema } from 'typebox'
import { AppError } from '../lib/errors.ts'
import { readInstant } from '../lib/instant.ts'

type Validate = ReturnType<FastifySchemaCompiler<TSchema>>

const OPTIONS: Options = { removeAdditional: false, useDefaults: true, allErrors: true, strict: false }

/**
 * Compiles the schemas of routes when they are first needed (ADR 37): values of paths, queries and headers are text and become what their
 * schema says, bodies must be of the right types already.
 */
export function createValidatorCompiler(): FastifySchemaCompiler<TSchema> {
  const exact = withFormats(new Ajv({ ...OPTIONS, coerceTypes: false }))
  const coercing = withFormats(new Ajv({ ...OPTIONS, coerceTypes: 'array' }))
  return ({ schema, httpPart }) => compileLate(httpPart === 'body' ? exact : coercing, schema)
}

function compileLate(ajv: Ajv, schema: TSchema): Validate {
  let compiled: ValidateFunction | undefined
  const validate: Validate = (data: unknown) => {
    compiled ??= ajv.compile(schema)
    const isValid = compiled(data)
    validate.errors = compiled.errors ?? null
    return isValid
  }
  return validate
}

function withFormats(ajv: Ajv): Ajv {
  addFormats.default(ajv)
  const known = ajv.formats['date-time'] as { validate: (text: string) => boolean }
  const validate = (text: string): boolean => known.validate(text) && readInstant(text) !== undefined
  return ajv.addFormat('date-time', { type: 'string', validate })
}

/** Takes no body for an empty one where nothing is required, and refuses the fields of a body where none belongs. */
export function settleBody(request: FastifyRequest): void {
  const schema = request.routeOptions.schema?.body as { type?: string; required?: string[] } | undefined
  if (schema === undefined) return refuseBody(request.body)
  const optional = schema.type === 'object' && (schema.required ?? []).length === 0
  if (optional && request.body === undefined) request.body = {}
}

function refuseBody(body: unknown): void {
  // Bytes and streams are for routes that read them themselves.
  if (typeof body !== 'object' || body === null || 'pipe' in body || Buffer.isBuffer(body)) return
  const fields = Object.keys(body).slice(0, 20)
  if (fields.length === 0) return
  throw new AppError('VALIDATION_ERROR', {
    details: fields.map((field) => ({ field, message: 'is not a known field' })),
  })
}
