/**
 * The catalogue of every failure that a client can see.
 *
 * A status and a public sentence are written here and nowhere else. Only the handlers in `http/` (and the registry's own
 * handler) turn an AppError into bytes.
 */
export const ERROR_CATALOGUE = {
  VALIDATION_ERROR: { status: 400, message: 'The request is not valid; see details.' },
  REDACTED_VALUE: {
    status: 400,
    message: 'A redacted value was sent back. Send the real value or leave the name out.',
  },
  BAD_REQUEST: { status: 400, message: 'This is not a valid HTTP request.' },
  BAD_JSON: { status: 400, message: 'The body is not valid JSON.' },
  BAD_ARCHIVE: { status: 400, message: 'The uploaded archive is not acceptable; see details.' },
  UNAUTHENTICATED: { status: 401, message: 'Valid credentials are required.' },
  FORBIDDEN: { status: 403, message: 'You do not have the permission that this needs.' },
  SESSION_REQUIRED: { status: 403, message: 'This needs a signed-in session; an API token cannot do it.' },
  ORIGIN_REFUSED: { status: 403, message: 'A write with a session cookie must come from the same origin.' },
  NOT_FOUND: { status: 404, message: 'There is no such thing here.' },
  METHOD_NOT_ALLOWED: { status: 405, message: 'This path does not support that method.' },
  REQUEST_TIMEOUT: { status: 408, message: 'The request took too long to arrive.' },
  CONFLICT: { status: 409, message: 'The request conflicts with the present state.' },
  NAME_TAKEN: { status: 409, message: 'That name is taken.' },
  DOMAIN_TAKEN: { status: 409, message: 'That hostname is taken.' },
  ALREADY_INITIALIZED: { status: 409, message: 'The first administrator exists already.' },
  LAST_ADMIN: { status: 409, message: 'The last administrator cannot be removed or demoted.' },
  NOT_EMPTY: { status: 409, message: 'It still has contents; see details.' },
  DEPLOYMENT_OVER: { status: 409, message: 'The deployment is over already.' },
  NOTHING_TO_DEPLOY: { status: 409, message: 'There is no release to deploy yet.' },
  UPLOAD_USED: { status: 409, message: 'The upload has been used or has expired; upload again.' },
  IDEMPOTENCY_MISMATCH: { status: 409, message: 'That Idempotency-Key was used with another request.' },
  IDEMPOTENCY_IN_PROGRESS: { status: 409, message: 'A request with that Idempotency-Key is still running.' },
  PRECONDITION_FAILED: { status: 412, message: 'The resource has changed; read it again.' },
  PAYLOAD_TOO_LARGE: { status: 413, message: 'The body is larger than this path allows.' },
  UNSUPPORTED_MEDIA_TYPE: { status: 415, message: 'That content type is not supported here.' },
  POLICY_REFUSED: { status: 422, message: 'The request is valid but a policy refuses it; see details.' },
  DEPLOYS_FROZEN: { status: 422, message: 'Deployments are frozen; see details.' },
  GIT_FAILED: { status: 422, message: 'The repository cannot be fetched; see the message.' },
  HEADERS_TOO_LARGE: { status: 431, message: 'The header fields are too large.' },
  RATE_LIMITED: { status: 429, message: 'Too many requests; try again later.' },
  INTERNAL: { status: 500, message: 'Something went wrong; the request id is in the log.' },
  RUNTIME_UNAVAILABLE: { status: 503, message: 'The container engine cannot be reached.' },
  STARTING: { status: 503, message: 'Berth is starting or stopping; try again.' },
  BUSY: { status: 503, message: 'The server is busy; try again shortly.' },
  DISK_FULL: { status: 507, message: 'There is not enough disk space.' },
  // The registry's: the names are those of the OCI distribution specification, section "Error Codes", where it has one.
  BLOB_UNKNOWN: { status: 404, message: 'The repository has no such blob.' },
  BLOB_UPLOAD_INVALID: { status: 400, message: 'The blob upload is not valid.' },
  BLOB_UPLOAD_UNKNOWN: { status: 404, message: 'There is no such blob upload.' },
  BLOB_CORRUPT: { status: 500, message: 'The blob is damaged on disk and is not served; push it again.' },
  DIGEST_INVALID: { status: 400, message: 'The digest is not valid or does not match the content.' },
  MANIFEST_BLOB_UNKNOWN: { status: 400, message: 'The manifest names blobs that the repository lacks.' },
  MANIFEST_INVALID: { status: 400, message: 'The manifest is not valid.' },
  MANIFEST_UNKNOWN: { status: 404, message: 'The repository has no such manifest.' },
  NAME_INVALID: { status: 400, message: 'The repository name is not valid.' },
  NAME_UNKNOWN: {
    status: 404,
    message: 'There is no such repository, or you may not see it. A push makes one in a project that exists.',
  },
  SIZE_INVALID: { status: 400, message: 'The length of the body is not what was announced.' },
  TAG_INVALID: { status: 400, message: 'The tag is not valid.' },
  TAG_IMMUTABLE: { status: 409, message: 'A rule of the repository keeps this tag as it is.' },
  IN_USE: { status: 409, message: 'It is in use; see details.' },
  RANGE_INVALID: { status: 416, message: 'The range does not follow what was received or lies outside.' },
  QUOTA_EXCEEDED: { status: 403, message: 'The registry quota of the project is used up.' },
} as const satisfies Record<string, { status: number; message: string }>

export type ErrorCode = keyof typeof ERROR_CATALOGUE

/** One problem with one field or fact of a request, safe to show to the client. */
export interface ErrorDetail {
  /** A JSON pointer or dotted name of the field, when one field is to blame. */
  field?: string
  message: string
}

export interface AppErrorOptions {
  /** For the client. */
  details?: ErrorDetail[]
  /** A more precise public sentence than the catalogue's. Must hold no secret. */
  message?: string
  /** The permission that was missing (FORBIDDEN only). */
  permission?: string
  /** Seconds for Retry-After (429 and 503). */
  retryAfterSeconds?: number
  /** For the log only. */
  cause?: unknown
}

/** The one error class of Berth. `details` is for the client, `cause` for the log. */
export class AppError extends Error {
  readonly code: ErrorCode
  readonly details: ErrorDetail[] | undefined
  readonly permission: string | undefined
  readonly retryAfterSeconds: number | undefined

  constructor(code: ErrorCode, options: AppErrorOptions = {}) {
    super(options.message ?? ERROR_CATALOGUE[code].message, { cause: options.cause })
    this.name = 'AppError'
    this.code = code
    this.details = options.details
    this.permission = options.permission
    this.retryAfterSeconds = options.retryAfterSeconds
  }

  get status(): number {
    return ERROR_CATALOGUE[this.code].status
  }
}

/** True when `error` is an AppError, with this code when one is given. */
export function isAppError(error: unknown, code?: ErrorCode): error is AppError {
  return error instanceof AppError && (code === undefined || error.code === code)
}

/** The message of anything that was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

/** The system error code (`ENOENT`, ...) of anything that was thrown, if it has one. */
export function systemCodeOf(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null || !('code' in error)) return undefined
  return typeof error.code === 'string' ? error.code : undefined
}
