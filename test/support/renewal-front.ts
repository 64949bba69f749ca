import { once } from 'node:events'
import { Agent, createServer, request } from 'node:https'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import type { Test } from 'tap'
import type { Pebble } from './pebble.ts'

export interface RenewalFront {
  directoryUrl: string
  /** What is answered to whoever asks for the window of a certificate; undefined: 404. */
  window: { start: string; end: string } | undefined
  retryAfter: string
  /** Names of certificates that were asked for, one a question. */
  readonly asked: string[]
  /** What each new order says that it replaces. */
  readonly replaced: (string | undefined)[]
  /** The type of the problem with which an order that replaces something is refused; undefined: it is not. */
  refusal: string | undefined
  /** The words with which new orders are refused as too many; undefined: they are not. */
  limit: string | undefined
  /** Whether each request for a new account showed an external binding. */
  readonly bound: boolean[]
}

/**
 * Renewal information (RFC 9773) in front of a real ACME server, because the version of Pebble that Debian has knows of none: everything is passed on
 * to it but the questions of that document.
 */
export async function startRenewalFront(t: Test, pebble: Pebble): Promise<RenewalFront> {
  const front: RenewalFront = {
    directoryUrl: '',
    window: undefined,
    retryAfter: '21600',
    asked: [],
    replaced: [],
    refusal: undefined,
    limit: undefined,
    bound: [],
  }
  const agent = new Agent({ ca: pebble.tls.ca, keepAlive: true })
  const passOn = async (asked: Pick<IncomingMessage, 'method' | 'headers' | 'url'>, body: string) => {
    const { method, headers, url } = asked
    const outgoing = request(new URL(url ?? '/', pebble.directoryUrl), { method, headers, agent })
    outgoing.end(body)
    const [answer] = (await once(outgoing, 'response')) as [IncomingMessage]
    const { 'content-length': _, ...fields } = answer.headers
    return { status: answer.statusCode ?? 502, fields, text: await text(answer) }
  }
  const serve = async (incoming: IncomingMessage, response: ServerResponse): Promise<void> => {
    const { url = '' } = incoming
    const body = await text(incoming)
    if (url.startsWith('/renewal-info/')) {
      front.asked.push(url.slice('/renewal-info/'.length))
      response.writeHead(front.window ? 200 : 404, { 'retry-after': front.retryAfter })
      response.end(JSON.stringify({ suggestedWindow: front.window }))
      return
    }
    const order = url === '/order-plz' ? readPayload(body) : undefined
    if (order) front.replaced.push(order.replaces)
    if (url === '/sign-me-up') front.bound.push(Object.hasOwn(readPayload(body), 'externalAccountBinding'))
    const isRefused = order?.replaces !== undefined && front.refusal !== undefined
    if (order && (isRefused || front.limit !== undefined)) {
      // A nonce of its own, as every answer has.
      const { host } = incoming.headers
      const nonce = await passOn({ method: 'HEAD', headers: { host }, url: '/nonce-plz' }, '')
      response.writeHead(isRefused ? 409 : 429, {
        'content-type': 'application/problem+json',
        'replay-nonce': nonce.fields['replay-nonce'],
        'retry-after': front.retryAfter,
      })
      const type = isRefused ? front.refusal : 'rateLimited'
      const detail = isRefused ? 'no' : front.limit
      response.end(JSON.stringify({ type: `urn:ietf:params:acme:error:${type}`, detail }))
      return
    }
    const answer = await passOn(incoming, body)
    const directory = url.startsWith('/dir') ? (JSON.parse(answer.text) as object) : undefined
    response.writeHead(answer.status, answer.fields)
    response.end(
      directory ? JSON.stringify({ ...directory, renewalInfo: `${origin}/renewal-info` }) : answer.text,
    )
  }
  const server = createServer({ cert: pebble.tls.cert, key: pebble.tls.key }, (incoming, response) => {
    serve(incoming, response).catch(() => response.destroy())
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const origin = `https://localhost:${(server.address() as AddressInfo).port}`
  front.directoryUrl = `${origin}/dir`
  t.teardown(() => {
    agent.destroy()
    server.closeAllConnections()
    server.close()
  })
  return front
}

function readPayload(jws: string): { replaces?: string } {
  const { payload } = JSON.parse(jws) as { payload: string }
  return JSON.parse(Buffer.from(payload, 'base64url').toString()) as { replaces?: string }
}
