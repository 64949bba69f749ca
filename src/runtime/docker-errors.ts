import { AppError, isAppError, messageOf, systemCodeOf } from '../lib/errors.ts'
import { BuildFailed, ContainerRefused, TransferFailed } from './runtime.ts'

/** What the socket says when no engine listens, it refuses us, or it dies in the middle of an answer. */
const AWAY_CODES = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'ECONNABORTED',
  'ENOENT',
  'EACCES',
  'EPERM',
  'EPIPE',
  'ETIMEDOUT',
  'ENOTSOCK',
  'ERR_STREAM_PREMATURE_CLOSE',
  'ERR_HTTP_INVALID_STATUS_CODE',
])

const OURS = [BuildFailed, ContainerRefused, TransferFailed]

/** The HTTP status that the engine answered with, when it did answer. */
export function engineStatusOf(error: unknown): number | undefined {
  if (typeof error !== 'object' || error === null || !('statusCode' in error)) return undefined
  return typeof error.statusCode === 'number' ? error.statusCode : undefined
}

/** The engine's own sentence, without what docker-modem puts around it. */
export function engineMessageOf(error: unknown): string {
  if (typeof error === 'object' && error !== null && 'json' in error) {
    const { json } = error
    if (typeof json === 'object' && json !== null && 'message' in json && typeof json.message === 'string')
      return json.message.trim()
  }
  return messageOf(error)
    .replace(/^\(HTTP code \d+\) (?:[^-]*) - /, '')
    .trim()
}

/**
 * Turns anything that a call to the engine threw into an error of ours, once.
 *
 * A failed connection is RUNTIME_UNAVAILABLE, 404 NOT_FOUND, 409 CONFLICT, a full disk DISK_FULL, other answers INTERNAL: the engine
 * refused a request that we made wrongly. What is ours already passes through.
 */
export function translateEngineError(error: unknown, verb: string): unknown {
  if (isAppError(error) || OURS.some((kind) => error instanceof kind)) return error
  const cause = new Error(`docker: ${verb}: ${engineMessageOf(error)}`, { cause: error })
  const status = engineStatusOf(error)
  if (status === undefined) return isAway(error) ? new AppError('RUNTIME_UNAVAILABLE', { cause }) : error
  if (status === 404) return new AppError('NOT_FOUND', { cause })
  if (status === 409) return new AppError('CONFLICT', { cause })
  if (/no space left on device/i.test(cause.message)) return new AppError('DISK_FULL', { cause })
  if (status === 503) return new AppError('RUNTIME_UNAVAILABLE', { cause })
  return new AppError('INTERNAL', { cause })
}

function isAway(error: unknown): boolean {
  const code = systemCodeOf(error)
  if (code !== undefined && AWAY_CODES.has(code)) return true
  if (code !== undefined && code.startsWith('HPE_')) return true
  return /socket hang up|aborted/i.test(messageOf(error)) && !isAbort(error)
}

function isAbort(error: unknown): boolean {
  return error instanceof Error && error.name === 'AbortError'
}
