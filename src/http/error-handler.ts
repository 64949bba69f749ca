import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { diskFullOf } from '../lib/disk-trouble.ts'
import { AppError, type ErrorDetail } from '../lib/errors.ts'
import { type Denial, isDenial } from '../modules/identity/authorize.ts'
import { errorBody } from './error-body.ts'
import { noRoute } from './no-route.ts'
import { patternWords } from './pattern-words.ts'
import { setSecurityHeaders } from './security-headers.ts'

/** Installs the one place that turns an error into bytes, for thrown errors and for unknown paths alike. */
export function installErrorHandler(server: FastifyInstance, onDenied: (denied: Denial) => void): void {
  server.setErrorHandler((thrown: unknown, request, reply) => {
    const error = toAppError(thrown)
    if (isDenial(error)) onDenied(describeDenial(request, error))
    sendError(error, request, reply)
  })
  server.setNotFoundHandler((request, reply) => sendError(noRoute(request, reply), request, reply))
}

/** Answers what the router refused before any hook ran: a URL that is not one. */
export function sendFrameworkError(error: Error, request: FastifyRequest, reply: FastifyReply): void {
  setSecurityHeaders(request, reply)
  sendError(toAppError(error), request, reply)
}

function describeDenial(request: FastifyRequest, error: AppError): Denial {
  const { routeOptions } = request
  return {
    context: request.authenticated?.context,
    request_id: request.id,
    client_address: request.ip,
    action: routeOptions.schema?.operationId ?? `${request.method} ${routeOptions.url ?? 'unknown'}`,
    error,
  }
}

function sendError(error: AppError, request: FastifyRequest, reply: FastifyReply): void {
  // A refusal for want of room has no cause; the line that each request has says enough of it.
  if (error.code === 'INTERNAL' || (error.status >= 500 && error.cause !== undefined)) {
    request.log.error({ err: error.cause ?? error, code: error.code }, 'request failed')
  }
  if (error.retryAfterSeconds !== undefined)
    void reply.header('retry-after', String(Math.ceil(error.retryAfterSeconds)))
  if (error.code === 'UNAUTHENTICATED') void reply.header('www-authenticate', 'Bearer realm="berth"')
  void reply
    .code(error.status)
    .type('application/json; charset=utf-8')
    .send(JSON.stringify(errorBody(error, request.id)))
}

function isFastifyError(error: unknown): error is FastifyError {
  return error instanceof Error && 'code' in error && typeof error.code === 'string'
}

/** Gives every error that Fastify, Ajv or Node can throw its place in the catalogue. */
export function toAppError(error: unknown): AppError {
  if (error instanceof AppError) return error
  if (error instanceof Error && 'validation' in error && Array.isArray(error.validation)) {
    return fromValidation(error as FastifyError)
  }
  if (isFastifyError(error)) {
    const known = FASTIFY_CODES[error.code]
    if (known !== undefined) return new AppError(known, { cause: error })
    if (error.statusCode !== undefined && error.statusCode >= 400 && error.statusCode < 500) {
      return new AppError('VALIDATION_ERROR', { details: [{ message: error.message }], cause: error })
    }
  }
  return diskFullOf(error) ?? new AppError('INTERNAL', { cause: error })
}

const FASTIFY_CODES: Readonly<
  Record<string, 'UNSUPPORTED_MEDIA_TYPE' | 'PAYLOAD_TOO_LARGE' | 'BAD_JSON' | 'NOT_FOUND'>
> = {
  FST_ERR_CTP_INVALID_MEDIA_TYPE: 'UNSUPPORTED_MEDIA_TYPE',
  FST_ERR_CTP_BODY_TOO_LARGE: 'PAYLOAD_TOO_LARGE',
  FST_ERR_CTP_INVALID_JSON_BODY: 'BAD_JSON',
  FST_ERR_CTP_EMPTY_JSON_BODY: 'BAD_JSON',
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: 'BAD_JSON',
  FST_ERR_BAD_URL: 'NOT_FOUND',
  FST_ERR_MAX_PARAM_LENGTH: 'NOT_FOUND',
  FST_ERR_NOT_FOUND: 'NOT_FOUND',
}

const MAX_DETAILS = 50
/** Characters of the values that a field may have. */
const LONGEST_LIST = 1000

function fromValidation(error: FastifyError): AppError {
  const details = (error.validation ?? []).slice(0, MAX_DETAILS).map(toDetail)
  return new AppError('VALIDATION_ERROR', { details, cause: error })
}

type Problem = NonNullable<FastifyError['validation']>[number]

function toDetail(problem: Problem): ErrorDetail {
  const extra = problem.params['additionalProperty'] ?? problem.params['missingProperty']
  const path = problem.instancePath.replaceAll('/', '.').replace(/^\./, '')
  const field = [path, typeof extra === 'string' ? extra : ''].filter(Boolean).join('.').slice(0, 200)
  const message = sentence(problem)
  return field === '' ? { message } : { field, message }
}

function sentence({ keyword, params, message }: Problem): string {
  const { allowedValues: allowed, pattern } = params
  if (keyword === 'additionalProperties') return 'is not a known field'
  if (keyword === 'enum' && Array.isArray(allowed))
    return `must be one of ${allowed.map(String).join(', ').slice(0, LONGEST_LIST)}`
  return (keyword === 'pattern' ? patternWords(pattern) : undefined) ?? message ?? 'is not valid'
}
