import { type AppError, ERROR_CATALOGUE } from '../lib/errors.ts'

/** What a client sees of an error. Nothing of an INTERNAL one but the id to look for in the log. */
export function errorBody(error: AppError, requestId: string): Record<string, unknown> {
  const hidden = error.code === 'INTERNAL'
  return {
    error: error.code,
    message: hidden ? ERROR_CATALOGUE.INTERNAL.message : error.message,
    ...(error.details && !hidden ? { details: error.details } : {}),
    ...(error.permission === undefined ? {} : { permission: error.permission }),
    request_id: requestId,
  }
}
