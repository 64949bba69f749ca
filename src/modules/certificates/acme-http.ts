import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'
import { request as requestPlain } from 'node:http'
import { request as requestTls } from 'node:https'
import { messageOf, systemCodeOf } from '../../lib/errors.ts'
import { answerOf } from '../../lib/http-answer.ts'
import { MAX_RETRY_AFTER_MS } from './certificate-schema.ts'

const LIMIT_OF_ALL = /\b(this|your) (account|IP\b)/i

/** What an ACME server refused (RFC 8555, section 6.7), or that it could not be asked. */
export class AcmeProblem extends Error {
  /** The last part of the problem's type, such as `rateLimited`; `unreachable` and `serverError` are ours. */
  readonly type: string
  readonly status: number
  /** What the server asked for by Retry-After. */
  readonly retry_after_ms: number | undefined

  constructor(type: string, status: number, message: string, retryAfterMs?: number) {
    super(message)
    this.name = 'AcmeProblem'
    this.type = type
    this.status = status
    this.retry_after_ms = retryAfterMs
  }

  /**
   * It refuses the account, the address or everyone, not one name: a server that is busy, or a rate limit whose words say so. RFC 8555 (section 6.6)
   * has nothing but words for it; a limit of a name must not hold up the names of others.
   */
  get isForAll(): boolean {
    if (this.type === 'rateLimited') return LIMIT_OF_ALL.test(this.message)
    return this.retry_after_ms !== undefined && (this.status === 429 || this.status === 503)
  }

  /** The server is at fault, not the order. */
  get isOutage(): boolean {
    return this.type === 'unreachable' || this.type === 'serverError'
  }
}

export interface AcmeAnswer {
  status: number
  headers: IncomingHttpHeaders
  text: string
}

export interface AcmeRequest {
  url: string
  method: string
  body: string | undefined
  headers: Record<string, string>
}

const TIMEOUT_MS = 30_000
const MAX_ANSWER_BYTES = 1024 * 1024
const PROBLEM_TYPE = /^urn:ietf:params:acme:error:([A-Za-z]{1,40})$/

/** Sends one request to an ACME server; `ca` are further certificates that are trusted, for private authorities. */
export async function sendAcme(
  asked: AcmeRequest,
  ca: string | undefined,
  nowMs: () => number,
): Promise<AcmeAnswer> {
  const answer = await exchange(asked, ca)
  const problem = readProblem(answer, nowMs())
  if (problem !== undefined) throw problem
  return answer
}

async function exchange(asked: AcmeRequest, ca: string | undefined): Promise<AcmeAnswer> {
  const send = new URL(asked.url).protocol === 'http:' ? requestPlain : requestTls
  const outgoing = send(asked.url, {
    method: asked.method.toUpperCase(),
    headers: { ...asked.headers, 'user-agent': 'berth' },
    agent: false,
    signal: AbortSignal.timeout(TIMEOUT_MS),
    ...(ca !== undefined && { ca }),
  })
  const answer = answerOf(outgoing)
  outgoing.end(asked.body)
  try {
    return await readAnswer(await answer)
  } catch (error) {
    const { host } = new URL(asked.url)
    throw new AcmeProblem(
      'unreachable',
      0,
      `${host} cannot be reached (${systemCodeOf(error) ?? messageOf(error)}).`,
    )
  }
}

async function readAnswer(response: IncomingMessage): Promise<AcmeAnswer> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of response as AsyncIterable<Buffer>) {
    size += chunk.length
    if (size > MAX_ANSWER_BYTES) throw new Error('the answer is too long')
    chunks.push(chunk)
  }
  return {
    status: response.statusCode ?? 0,
    headers: response.headers,
    text: Buffer.concat(chunks).toString('utf8'),
  }
}

/** A refusal as an error; a bad nonce is none, because the client sends such a request again. */
function readProblem({ status, headers, text }: AcmeAnswer, nowMs: number): AcmeProblem | undefined {
  if (status < 400) return undefined
  const retryAfter = readRetryAfter(headers['retry-after'], nowMs)
  const { type, detail } = readBody(text)
  if (type === 'badNonce') return undefined
  if (type === undefined)
    return new AcmeProblem(
      status >= 500 || status === 429 ? 'serverError' : 'refused',
      status,
      `The certificate authority answered ${status}.`,
      retryAfter,
    )
  return new AcmeProblem(status >= 500 ? 'serverError' : type, status, `${type}: ${detail}`, retryAfter)
}

function readBody(text: string): { type: string | undefined; detail: string } {
  try {
    const { type, detail, subproblems } = JSON.parse(text) as {
      type?: unknown
      detail?: unknown
      subproblems?: { detail?: unknown }[]
    }
    const known = typeof type === 'string' ? PROBLEM_TYPE.exec(type)?.[1] : undefined
    const more = Array.isArray(subproblems) ? subproblems.map((each) => each.detail) : []
    const texts = [detail, ...more].filter((each) => typeof each === 'string')
    return { type: known, detail: shorten(texts.join(' ')) }
  } catch {
    return { type: undefined, detail: '' }
  }
}

/** Text of a server for people, short and plain. */
export function shorten(text: string): string {
  return text.replaceAll(/[^\x20-\x7e]/g, '?').slice(0, 500)
}

/** Milliseconds from a Retry-After of seconds or of an instant (RFC 9110, section 10.2.3), at most a week. */
export function readRetryAfter(header: string | undefined, nowMs: number): number | undefined {
  if (header === undefined) return undefined
  const ms = /^\d{1,9}$/.test(header) ? Number(header) * 1000 : Date.parse(header) - nowMs
  return Number.isFinite(ms) && ms > 0 ? Math.min(ms, MAX_RETRY_AFTER_MS) : undefined
}
