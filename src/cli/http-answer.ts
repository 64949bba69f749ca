import { messageOf, systemCodeOf } from '../lib/errors.ts'
import { type ApiFailure, CliError, EXIT } from './cli-error.ts'
import { plain } from './plain-text.ts'

/** Answers are lists and objects for people; nothing sound is larger. */
const LARGEST_ANSWER = 64 * 1024 ** 2
const LARGEST_FAILURE = 256 * 1024

/** The JSON of an answer; undefined when it is empty. Throws a CliError when it is none, and what the connection throws. */
export async function readJson(origin: string, response: Response): Promise<unknown> {
  const text = await readText(origin, response, LARGEST_ANSWER)
  if (text === '') return undefined
  try {
    return JSON.parse(text)
  } catch (error) {
    throw notBerth(origin, response, error)
  }
}

async function readText(origin: string, response: Response, most: number): Promise<string> {
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of (response.body ?? []) as AsyncIterable<Uint8Array>) {
    size += chunk.length
    if (size > most) throw new CliError(`${origin} sent more than ${most} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString()
}

/** What a refusal says. Of something else than Berth (a proxy, say) only the status is known. */
export async function readFailure(origin: string, response: Response): Promise<ApiFailure> {
  const text = await readText(origin, response, LARGEST_FAILURE).catch(() => '')
  const retryAfter = Number(response.headers.get('retry-after') ?? Number.NaN)
  const timing = Number.isFinite(retryAfter) && retryAfter >= 0 ? { retry_after_seconds: retryAfter } : {}
  return { ...describeFailure(origin, response, parseBody(text)), ...timing }
}

function parseBody(text: string): Record<string, unknown> | undefined {
  try {
    const body: unknown = JSON.parse(text)
    return typeof body === 'object' && body !== null ? (body as Record<string, unknown>) : undefined
  } catch {
    // No JSON: not an answer of Berth.
    return undefined
  }
}

function describeFailure(
  origin: string,
  response: Response,
  body: Record<string, unknown> | undefined,
): ApiFailure {
  const { status } = response
  if (typeof body?.['error'] !== 'string' || typeof body['message'] !== 'string') {
    const where = response.headers.get('location')
    const message =
      where !== null && status >= 300 && status < 400
        ? `${origin} redirects to ${plain(where)}: use that address`
        : `${origin} answered ${status}, and not as a Berth server does`
    return { status, code: `HTTP_${status}`, message, details: [] }
  }
  const { permission, request_id: requestId } = body
  return {
    status,
    code: plain(body['error']),
    message: plain(body['message']),
    details: readDetails(body['details']),
    ...(typeof permission === 'string' ? { permission: plain(permission) } : {}),
    ...(typeof requestId === 'string' ? { request_id: plain(requestId) } : {}),
  }
}

function readDetails(details: unknown): { field?: string; message: string }[] {
  if (!Array.isArray(details)) return []
  return details.slice(0, 100).flatMap((each: { field?: unknown; message?: unknown } | null) => {
    if (typeof each?.message !== 'string') return []
    return [
      {
        ...(typeof each.field === 'string' ? { field: plain(each.field) } : {}),
        message: plain(each.message),
      },
    ]
  })
}

function notBerth(origin: string, response: Response, cause: unknown): CliError {
  const type = plain(response.headers.get('content-type') ?? 'no type')
  return new CliError(
    `${origin} answered ${response.status} with ${type} instead of JSON: is that a Berth server?`,
    { cause },
  )
}

const REASONS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'nothing listens there',
  ENOTFOUND: 'there is no such host',
  EAI_AGAIN: 'the host name cannot be looked up now',
  ECONNRESET: 'the connection was cut',
  EPIPE: 'the connection was cut',
  UND_ERR_SOCKET: 'the connection was cut',
  ETIMEDOUT: 'it does not answer',
  UND_ERR_CONNECT_TIMEOUT: 'it does not answer',
  UND_ERR_HEADERS_TIMEOUT: 'it does not answer',
  UND_ERR_BODY_TIMEOUT: 'it stopped answering',
  EHOSTUNREACH: 'there is no way to that host',
  ENETUNREACH: 'there is no way to that network',
  ERR_SSL_WRONG_VERSION_NUMBER: 'it does not speak TLS: try http://',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'its certificate is self-signed',
  SELF_SIGNED_CERT_IN_CHAIN: 'its certificate is signed by an unknown authority',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'its certificate is signed by an unknown authority',
  CERT_HAS_EXPIRED: 'its certificate has expired',
  ERR_TLS_CERT_ALTNAME_INVALID: 'its certificate is for another name',
  // The fetch standard, "port blocking": ports of other well-known protocols.
  'bad port': 'that port is reserved for another protocol and never spoken to',
}

/** Puts into words why there was no answer: the interrupt itself when the user wanted that, else exit status 7. */
export function unreachable(origin: string, error: unknown, signal: AbortSignal): unknown {
  if (signal.aborted) return signal.reason
  if (error instanceof CliError) return error
  const own = findCause(error, (each) => each instanceof CliError)
  if (own !== undefined) return own
  if (error instanceof Error && error.name === 'TimeoutError')
    return cannotReach(origin, 'it does not answer', error)
  const coded = findCause(error, (each) => systemCodeOf(each) !== undefined)
  const message = messageOf(coded ?? (error as Error).cause ?? error)
  return cannotReach(origin, REASONS[systemCodeOf(coded) ?? ''] ?? REASONS[message] ?? message, error)
}

function cannotReach(origin: string, reason: string, cause: unknown): CliError {
  return new CliError(`cannot reach ${origin}: ${plain(reason)}`, { exit: EXIT.unavailable, cause })
}

/** The first error on the chain of causes, and in AggregateErrors (a host with several addresses), that fits. */
function findCause(error: unknown, fits: (each: unknown) => boolean, depth = 0): unknown {
  if (depth > 8 || typeof error !== 'object' || error === null) return undefined
  if (fits(error)) return error
  const inner = 'errors' in error && Array.isArray(error.errors) ? error.errors : []
  for (const each of [(error as Error).cause, ...inner]) {
    const found = findCause(each, fits, depth + 1)
    if (found !== undefined) return found
  }
  return undefined
}
