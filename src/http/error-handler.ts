import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { AppError, type ErrorDetail, systemCodeOf } from '../lib/errors.ts'

/** Installs the one place that turns an error into bytes, for thrown errors and for unknown paths alike. */
export function installErrorHandler(server: FastifyInstance): void {
  server.setErrorHandler((error: unknown, request, reply) => sendError(toAppError(error), request, reply))
  server.setNotFoundHandler((request, reply) => {
    const known = server.supportedMethods.some(
      (method) => method !== request.method && server.findRoute({ method, url: request.routeOptions.url ?? request.url }) !== null,
    )
    sendError(new AppError(known ? 'METHOD_NOT_ALLOWED' : 'NOT_FOUND'), request, reply)
  })
}

function sendError(error: AppError, request: FastifyRequest, reply: FastifyReply): void {
  if (error.status >= 500) request.log.error({ err: error.cause ?? error, code: error.code }, 'request failed')
  if (error.retryAfterSeconds !== undefined) void reply.header('retry-after', String(Math.ceil(error.retryAfterSeconds)))
  if (error.code === 'UNAUTHENTICATED') void reply.header('www-authenticate', 'Bearer realm="berth"')
  void reply
    .code(error.status)
    .type('application/json; charset=utf-8')
    .send(
      JSON.stringify({
        error: error.code,
        message: error.code === 'INTERNAL' ? new AppError('INTERNAL').message : error.message,
        ...(error.details ? { details: error.details } : {}),
        ...(error.permission === undefined ? {} : { permission: error.permission }),
        request_id: request.id,
      }),
    )
}

function isFastifyError(error: unknown): error is FastifyError {
  return error instanceof Error && 'code' in error && typeof error.code === 'string'
}

/** Gives every error that Fastify, Ajv or Node can throw its place in the catalogue. */
export function toAppError(error: unknown): AppError {
  if (error instanceof AppError) return error
  if (isFastifyError(error)) {
    if (error.validation) return new AppError('VALIDATION_ERROR', { details: error.validation.map(toDetail), cause: error })
    switch (error.code) {
      case 'FST_ERR_CTP_INVALID_MEDIA_TYPE':
        return new AppError('UNSUPPORTED_MEDIA_TYPE', { cause: error })
      case 'FST_ERR_CTP_BODY_TOO_LARGE':
        return new AppError('PAYLOAD_TOO_LARGE', { cause: error })
      case 'FST_ERR_CTP_INVALID_JSON_BODY':
      case 'FST_ERR_CTP_EMPTY_JSON_BODY':
        return new AppError('BAD_JSON', { cause: error })
      default:
    }
    if (error.statusCode !== undefined && error.statusCode >= 400 && error.statusCode < 500) {
      return new AppError(error.statusCode === 404 ? 'NOT_FOUND' : 'VALIDATION_ERROR', {
        details: [{ message: error.message }],
        cause: error,
      })
    }
  }
  if (systemCodeOf(error) === 'ENOSPC' || systemCodeOf(error) === 'SQLITE_FULL') return new AppError('DISK_FULL', { cause: error })
  return new AppError('INTERNAL', { cause: error })
}

function toDetail(problem: NonNullable<FastifyError['validation']>[number]): ErrorDetail {
  const extra = problem.params['additionalProperty'] ?? problem.params['missingProperty']
  const path = problem.instancePath.replaceAll('/', '.').replace(/^\./, '')
  const field = [path, typeof extra === 'string' ? extra : ''].filter(Boolean).join('.')
  const message =
    problem.keyword === 'additionalProperties' ? 'is not a known field' : (problem.message ?? 'is not valid')
  return field === '' ? { message } : { field, message }
}
