import { createHash, timingSafeEqual } from 'node:crypto'
import { errorAnswer, type LocalAnswer, pathInUri } from '../exchange/local-answer.ts'
import type { RequestHead } from '../messages/request-head.ts'
import { type CompiledRules, isBelow } from './compiled-rules.ts'
import type { BasicUser } from '../contract/route-rules.ts'

/** What the rules of a route answer instead of the application; undefined: the request may pass. `canonical`: the name for the others. */
export function admit(
  rules: CompiledRules,
  canonical: string | undefined,
  head: RequestHead,
  accept: string | undefined,
): LocalAnswer | undefined {
  if (rules.mayPass?.(head.clientAddress) === false) return errorAnswer(403, head.requestId, accept)
  const { maintenance } = rules
  if (maintenance !== undefined) {
    const { message, retry_after_seconds: seconds } = maintenance
    return errorAnswer(503, head.requestId, accept, { message, retryAfter: seconds })
  }
  const target = redirectTarget(rules, canonical, head)
  if (target !== undefined) return redirect(head, target.status, target.to)
  if (rules.basic_auth !== undefined && !isKnown(rules.basic_auth.users, fieldOf(head, 'authorization'))) {
    const answer = errorAnswer(401, head.requestId, accept)
    answer.headers.push('WWW-Authenticate', `Basic realm="${rules.basic_auth.realm}", charset="UTF-8"`)
    return answer
  }
  const { max_body_bytes: most } = rules
  if (most !== undefined && head.body === 'length' && Number(fieldOf(head, 'content-length')) > most)
    return errorAnswer(413, head.requestId, accept)
  return undefined
}

function redirectTarget(
  { redirects }: CompiledRules,
  host: string | undefined,
  head: RequestHead,
): { to: string; status: number } | undefined {
  if (host !== undefined && host !== head.hostname)
    return { to: `${head.secure ? 'https' : 'http'}://${host}${portOf(head)}${pathInUri(head)}`, status: 308 }
  const query = head.path.indexOf('?')
  const path = query === -1 ? head.path : head.path.slice(0, query)
  const found = redirects.find((rule) => (rule.exact ? path === rule.path : isBelow(path, rule.path)))
  if (found === undefined) return undefined
  // What is below the path goes along, and so does the query.
  const rest = found.exact ? '' : path.slice(found.path.length)
  return { to: joined(found.to, rest) + (query === -1 ? '' : head.path.slice(query)), status: found.status }
}

/** What was below a path, below the target: never a part of its host, nor the host of a target that is only a path. */
function joined(to: string, rest: string): string {
  if (rest === '') return to
  // Browsers take a backslash for a slash.
  return `${to}${to.endsWith('/') ? '' : '/'}${rest.replace(/^[/\\]+/, '')}`
}

/** With its colon, where the client named one. */
function portOf(head: RequestHead): string {
  return /:\d+$/.exec(fieldOf(head, 'host') ?? '')?.[0] ?? ''
}

function redirect({ requestId }: RequestHead, status: number, to: string): LocalAnswer {
  return { status, headers: ['Location', to, 'X-Request-Id', requestId, 'Content-Length', '0'], body: '' }
}

/** The value of a field of the request; the first one when there are several. */
export function fieldOf({ text }: RequestHead, name: string): string | undefined {
  // The first line is none; field names and values hold no line breaks.
  return new RegExp(`\\r\\n${name}:[ \\t]*([^\\r]*)\\r\\n`, 'i').exec(text)?.[1]
}

/** Compares with every user, whoever is named, so that the time tells nothing. */
function isKnown(users: readonly BasicUser[], authorization: string | undefined): boolean {
  const encoded = /^basic +([A-Za-z0-9+/=]{1,2048})$/i.exec(authorization ?? '')?.[1] ?? ''
  const [, username = '', password = ''] =
    /^([^:]*):([^]*)$/.exec(Buffer.from(encoded, 'base64').toString()) ?? []
  let known = false
  for (const user of users) {
    const given = createHash('sha256').update(user.salt).update(password).digest()
    const same = timingSafeEqual(given, Buffer.from(user.sha256, 'hex'))
    const named = timingSafeEqual(digest(username), digest(user.username))
    known = (same && named) || known
  }
  return known
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}
