/** Why a command ended, told by its exit status. Listed in docs/cli.md. */
export const EXIT = {
  ok: 0,
  failed: 1,
  usage: 2,
  refused: 3,
  not_found: 4,
  conflict: 5,
  not_deployed: 6,
  unavailable: 7,
  differs: 8,
  interrupted: 130,
  broken_pipe: 141,
  terminated: 143,
} as const
export type ExitCode = (typeof EXIT)[keyof typeof EXIT]

export interface CliErrorOptions {
  exit?: ExitCode
  /** What the user can do about it; one line each. */
  hints?: readonly string[]
  cause?: unknown
}

/** Ends the command with a message on stderr. */
export class CliError extends Error {
  readonly exit: ExitCode
  readonly hints: readonly string[]

  constructor(message: string, options: CliErrorOptions = {}) {
    super(message, { cause: options.cause })
    this.name = 'CliError'
    this.exit = options.exit ?? EXIT.failed
    this.hints = options.hints ?? []
  }
}

/** A command line that cannot be understood. */
export class UsageError extends CliError {
  constructor(message: string, hints: readonly string[] = []) {
    super(message, { exit: EXIT.usage, hints })
    this.name = 'UsageError'
  }
}

/** The server's own account of a failure (api.md, "Errors"). */
export interface ApiFailure {
  status: number
  code: string
  message: string
  details: readonly { field?: string; message: string }[]
  permission?: string
  request_id?: string
  retry_after_seconds?: number
}

/** The server refused or failed a request. */
export class ApiError extends CliError {
  readonly failure: ApiFailure

  constructor(failure: ApiFailure, hints: readonly string[] = []) {
    super(failure.message, { exit: exitFor(failure.status), hints })
    this.name = 'ApiError'
    this.failure = failure
  }
}

/** The server does not take the password or the token that was given to sign in with; a saved login is not to blame. */
export class LoginRefused extends ApiError {}

/** True when the server answered with this error code. */
export function isApiError(error: unknown, code: string): error is ApiError {
  return error instanceof ApiError && error.failure.code === code
}

function exitFor(status: number): ExitCode {
  if (status === 401 || status === 403) return EXIT.refused
  if (status === 404) return EXIT.not_found
  if (status === 409 || status === 412) return EXIT.conflict
  // Worth trying again later, unlike other failures.
  if (status === 429 || (status >= 502 && status <= 504)) return EXIT.unavailable
  return EXIT.failed
}

/** The user ended the command, or the system did. */
export class Interrupted extends CliError {
  readonly signal: NodeJS.Signals

  constructor(signal: NodeJS.Signals, hints: readonly string[] = []) {
    super('interrupted', { exit: signal === 'SIGINT' ? EXIT.interrupted : EXIT.terminated, hints })
    this.name = 'Interrupted'
    this.signal = signal
  }
}
