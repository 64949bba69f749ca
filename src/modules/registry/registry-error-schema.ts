import type { AppError, ErrorCode } from '../../lib/errors.ts'

/** Where the specification ("Error Codes") has another word than our catalogue: of a 4xx it allows its own words only. */
const OCI_CODES: Partial<Record<ErrorCode, string>> = {
  UNAUTHENTICATED: 'UNAUTHORIZED',
  FORBIDDEN: 'DENIED',
  IN_USE: 'DENIED',
  TAG_IMMUTABLE: 'DENIED',
  QUOTA_EXCEEDED: 'DENIED',
  TAG_INVALID: 'MANIFEST_INVALID',
  PAYLOAD_TOO_LARGE: 'SIZE_INVALID',
  RATE_LIMITED: 'TOOMANYREQUESTS',
  BUSY: 'TOOMANYREQUESTS',
  METHOD_NOT_ALLOWED: 'UNSUPPORTED',
  BAD_REQUEST: 'UNSUPPORTED',
  VALIDATION_ERROR: 'UNSUPPORTED',
  REQUEST_TIMEOUT: 'BLOB_UPLOAD_INVALID',
  RANGE_INVALID: 'BLOB_UPLOAD_INVALID',
  NOT_FOUND: 'NAME_UNKNOWN',
  INTERNAL: 'UNKNOWN',
}

/** The body of a failure in the shape of the distribution specification. */
export function registryErrorBody(error: AppError, requestId: string): string {
  const detail = error.code === 'INTERNAL' ? undefined : error.details?.map(({ message }) => message)
  return JSON.stringify({
    errors: [
      {
        code: OCI_CODES[error.code] ?? error.code,
        message:
          error.code === 'INTERNAL' ? `Something went wrong; see ${requestId} in the log.` : error.message,
        ...(detail !== undefined && { detail }),
      },
    ],
  })
}

/** What a 401 says of the ways in: tokens from our token service, or the credentials themselves. */
export function challenges(origin: string, scope: string | undefined, isTooSmall: boolean): string[] {
  const parameters = [
    `realm="${origin}/v2/token"`,
    'service="berth"',
    ...(scope === undefined ? [] : [`scope="${scope}"`]),
    ...(isTooSmall ? ['error="insufficient_scope"'] : []),
  ]
  return [`Bearer ${parameters.join(',')}`, 'Basic realm="berth"']
}

/** What a 416 says of where one may go on, from the cause that the operations gave it. */
export function rangeHeaders(error: AppError, path: string): Record<string, string> {
  const cause = error.cause as { size?: number; session?: { size: number } } | undefined
  if (cause?.session) return { Location: path, Range: `0-${Math.max(0, cause.session.size - 1)}` }
  return cause?.size === undefined ? {} : { 'Content-Range': `bytes */${cause.size}` }
}
