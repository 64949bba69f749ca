import { messageOf } from '../lib/errors.ts'
import { ApiError, CliError, EXIT, type ExitCode, Interrupted, LoginRefused } from './cli-error.ts'
import type { Output } from './output.ts'
import { plainJson } from './plain-text.ts'

/** Says on stderr why the command failed, and answers its exit status. */
export function reportError(error: unknown, output: Output, stderr: NodeJS.WriteStream): ExitCode {
  const known = error instanceof CliError ? error : undefined
  const exit = known?.exit ?? EXIT.failed
  const hints = [...(known?.hints ?? []), ...hintsFor(error)]
  const message = known ? known.message : `unexpected: ${messageOf(error)}`
  if (output.json) {
    const failure = error instanceof ApiError ? error.failure : {}
    const { code, ...rest } = { code: undefined, ...failure }
    stderr.write(
      `${plainJson({ error: code ?? NAMES[exit], ...rest, message, exit_status: exit, hints }, 0)}\n`,
    )
    return exit
  }
  // Whoever pressed Ctrl-C knows.
  if (error instanceof Interrupted && hints.length === 0) return exit
  const lines = [
    `${output.paintErr('red', 'berth:')} ${message}`,
    ...detailsOf(error),
    ...hints.map((hint) => `  ${hint}`),
  ]
  for (const line of lines) stderr.write(`${line}\n`)
  return exit
}

const NAMES: Readonly<Record<ExitCode, string>> = {
  [EXIT.ok]: 'OK',
  [EXIT.failed]: 'FAILED',
  [EXIT.usage]: 'USAGE',
  [EXIT.refused]: 'NOT_SIGNED_IN',
  [EXIT.not_found]: 'NOT_FOUND',
  [EXIT.conflict]: 'CONFLICT',
  [EXIT.not_deployed]: 'NOT_DEPLOYED',
  [EXIT.unavailable]: 'UNAVAILABLE',
  [EXIT.differs]: 'DIFFERS',
  [EXIT.interrupted]: 'INTERRUPTED',
  [EXIT.broken_pipe]: 'BROKEN_PIPE',
  [EXIT.terminated]: 'TERMINATED',
}

function detailsOf(error: unknown): string[] {
  if (!(error instanceof ApiError)) return []
  const { details, permission, request_id: requestId, status } = error.failure
  return [
    ...details.map(({ field, message }) => `  ${field === undefined ? '' : `${field}: `}${message}`),
    ...(permission === undefined ? [] : [`  The missing permission is ${permission}.`]),
    ...(status >= 500 && requestId !== undefined
      ? [`  The request id, for the server's log: ${requestId}`]
      : []),
  ]
}

function hintsFor(error: unknown): string[] {
  if (!(error instanceof ApiError) || error instanceof LoginRefused) return []
  const { code, retry_after_seconds: seconds } = error.failure
  if (code === 'UNAUTHENTICATED') return ['Your login has ended or was revoked. Sign in again: berth login']
  if (code === 'SESSION_REQUIRED')
    return ['Your login is an API token. Sign in with a session instead: berth login --session']
  if (code === 'RATE_LIMITED' && seconds !== undefined) return [`Try again in ${Math.ceil(seconds)} s.`]
  return []
}
