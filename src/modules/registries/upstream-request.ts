import { type IncomingMessage, request as requestHttp } from 'node:http'
import { request as requestHttps } from 'node:https'
import { isIP, type LookupFunction } from 'node:net'
import { type AddressRule, AddressRefused } from '../../lib/address-rule.ts'
import { messageOf, systemCodeOf } from '../../lib/errors.ts'
import { answerOf } from '../../lib/http-answer.ts'
import { UpstreamFailed } from '../../lib/upstream-failed.ts'

export interface UpstreamQuestion {
  method: 'GET' | 'HEAD' | 'POST'
  url: URL
  headers: Record<string, string>
  body?: string
}

/** Asks somebody else's server: the answer's body is still to be read, or to be destroyed. Throws UpstreamFailed. */
export type AskUpstream = (question: UpstreamQuestion, signal: AbortSignal) => Promise<IncomingMessage>

const MOST_REDIRECTS = 5
const SILENCE_MS = 60_000
const REDIRECTS = new Set([301, 302, 303, 307, 308])
const USER_AGENT = 'berth'

/**
 * Makes the way to servers that users name. Every hop goes to an address that the rule allows, and to that very address; credentials stay with
 * the origin that they are for, and nothing that was asked over TLS is asked again without.
 */
export function createAskUpstream(addresses: AddressRule): AskUpstream {
  return async (question, signal) => {
    const origin = question.url.origin
    let { url } = question
    for (let hop = 0; hop <= MOST_REDIRECTS; hop += 1) {
      const headers = url.origin === origin ? question.headers : withoutCredentials(question.headers)
      const answer = await askOnce(addresses, { ...question, url, headers }, signal)
      const { location } = answer.headers
      if (!REDIRECTS.has(answer.statusCode ?? 0) || location === undefined || question.method === 'POST')
        return answer
      answer.destroy()
      url = nextUrl(url, location)
    }
    throw new UpstreamFailed(`${question.url.host} redirects again and again`)
  }
}

function withoutCredentials(headers: Record<string, string>): Record<string, string> {
  const { authorization: _, ...rest } = headers
  return rest
}

function nextUrl(from: URL, location: string): URL {
  const to = URL.parse(location, from.href)
  if (to === null || !['http:', 'https:'].includes(to.protocol))
    throw new UpstreamFailed(`${from.host} redirects to what is no web address`)
  if (from.protocol === 'https:' && to.protocol === 'http:')
    throw new UpstreamFailed(`${from.host} redirects from https to http`)
  to.username = ''
  to.password = ''
  return to
}

async function askOnce(
  addresses: AddressRule,
  { method, url, headers, body }: UpstreamQuestion,
  signal: AbortSignal,
): Promise<IncomingMessage> {
  const lookup = await lookupOf(addresses, url, signal)
  const options = { method, headers: { 'user-agent': USER_AGENT, ...headers }, agent: false, signal, lookup }
  const send = url.protocol === 'https:' ? requestHttps : requestHttp
  const request = send(url.href, options)
  request.setTimeout(SILENCE_MS, () => request.destroy(new Error(`no answer for ${SILENCE_MS / 1000} s`)))
  const answer = answerOf(request)
  request.end(body)
  try {
    return await answer
  } catch (error) {
    signal.throwIfAborted()
    throw new UpstreamFailed(`${url.host} cannot be asked: ${systemCodeOf(error) ?? messageOf(error)}`, {
      cause: error,
      isPassing: true,
    })
  }
}

/** Asked again, the name may lead elsewhere than where it led when it was checked. */
async function lookupOf(addresses: AddressRule, url: URL, signal: AbortSignal): Promise<LookupFunction> {
  try {
    const allowed = await addresses.resolve(url.hostname.replace(/^\[|\]$/g, ''), signal)
    const found = allowed.map((address) => ({ address, family: isIP(address) }))
    return (_, { all }, done) => {
      const [first] = found
      if (all === true) done(null, found)
      else done(null, first?.address ?? '', first?.family)
    }
  } catch (error) {
    if (!(error instanceof AddressRefused)) throw error
    throw new UpstreamFailed(`${error.message}; the setting image_private_ranges allows some`, {
      cause: error,
    })
  }
}
