import type { IncomingMessage, ServerResponse } from 'node:http'
import type { ClientConnection, ServedRequest } from './client-connection.ts'
import { sendErrorPage } from './error-page.ts'
import { discardBody, RequestBody } from './request-body.ts'
import type { RequestHead } from './request-head.ts'
import type { ResponseFault, ResponseHead } from './response-head.ts'
import type { ResponseSink } from './response-parser.ts'
import { pickUpstream } from './route-index.ts'
import { Splice, type UpgradeRequest } from './upgrade.ts'
import { type ConnectionUser, UpstreamConnection } from './upstream-connection.ts'
import type { UpstreamState } from './upstream.ts'
import type { WorkerContext } from './worker-context.ts'

const CONNECTING = 0
/** The application has been asked whether it wants the body. */
const ASKING = 1
const SENDING = 2
const WAITING = 3
const ANSWERING = 4

/** Replicas that are tried while none has been reached. */
const MAX_CONNECTS = 3
/** A request that cannot be repeated does not take a connection that the application may be about to close. */
const FRESH_MS = 1000
const LARGE_READ_BYTES = 16 * 1024

/** One request on its way: to a replica, and the answer back. */
export class Exchange implements ServedRequest, ConnectionUser, ResponseSink {
  private readonly context: WorkerContext
  private readonly client: ClientConnection
  private readonly request: IncomingMessage
  private readonly response: ServerResponse
  private readonly head: RequestHead
  private readonly upgrade: UpgradeRequest | null
  private readonly body: RequestBody | null
  private connection: UpstreamConnection | null = null
  private phase: number = CONNECTING
  private deadline = Number.POSITIVE_INFINITY
  private connects = 0
  private repeated = false
  private tried: UpstreamState[] = NONE
  /** Something of a response has come on the present connection. */
  private heard = false
  private reusable = false
  /** The client has been given the response's header section. */
  private answered = false
  private headWaits = false
  private stalled = false
  private done = false
  /** For the log. */
  private lastUpstream = ''

  constructor(
    context: WorkerContext,
    client: ClientConnection,
    request: IncomingMessage,
    response: ServerResponse,
    head: RequestHead,
    upgrade: UpgradeRequest | null,
  ) {
    this.context = context
    this.client = client
    this.request = request
    this.response = response
    this.head = head
    this.upgrade = upgrade
    this.body = head.body === 'none' ? null : new RequestBody(request, head.body === 'chunked')
  }

  start(): void {
    if (!this.attempt(false)) this.fail(503, 'no_replica')
  }

  /** The client has gone: nobody waits for the answer. */
  abandon(): void {
    if (this.done) return
    this.done = true
    this.detach()?.destroy()
  }

  /** Hands the request to a replica; false when there is none left to try. */
  private attempt(fresh: boolean): boolean {
    const { context, head } = this
    // Looked up anew for each attempt: a replica that has left the table gets no new request.
    const route = context.routes.find(head.hostname)
    const upstream = route && pickUpstream(route, this.tried, context.clock.now)
    if (upstream === undefined) return false
    const connection = fresh || this.upgrade !== null ? undefined : upstream.takeIdle(this.notBefore())
    this.use(connection ?? new UpstreamConnection(upstream, context))
    return true
  }

  private notBefore(): number {
    const repeatable = this.head.idempotent && this.body === null
    return repeatable ? Number.NEGATIVE_INFINITY : this.context.clock.now - FRESH_MS
  }

  private use(connection: UpstreamConnection): void {
    this.connection = connection
    this.lastUpstream = connection.upstream.id
    this.heard = false
    this.connects += 1
    connection.user = this
    connection.upstream.requests += 1
    connection.parser.begin(this.head.isHead)
    if (connection.connected) this.connected()
    else {
      this.enter(CONNECTING, this.context.limits.upstream_connect_ms)
      connection.socket.write(this.head.text, 'latin1')
    }
  }

  private enter(phase: number, limitMs: number): void {
    this.phase = phase
    this.deadline = this.context.clock.now + limitMs
  }

  connected(): void {
    const { connection, body, head, context } = this
    if (connection === null) return
    const { socket } = connection
    const fromIdle = connection.reused
    if (body === null) {
      if (fromIdle) socket.write(head.text, 'latin1')
      this.enter(WAITING, context.limits.response_head_ms)
    } else if (head.expectsContinue) {
      if (fromIdle) socket.write(head.text, 'latin1')
      this.enter(ASKING, context.limits.continue_ms)
    } else {
      // Header section and what has come of the body leave together.
      socket.cork()
      if (fromIdle) socket.write(head.text, 'latin1')
      this.sendBody(connection, body)
      process.nextTick(() => socket.uncork())
    }
  }

  private sendBody(connection: UpstreamConnection, body: RequestBody): void {
    this.enter(SENDING, this.context.limits.request_body_idle_ms)
    body.start(connection, () => this.bodyMoved(body))
  }

  private bodyMoved(body: RequestBody): void {
    const { limits } = this.context
    if (this.phase === ANSWERING) this.enter(ANSWERING, limits.response_body_idle_ms)
    else if (body.complete) this.enter(WAITING, limits.response_head_ms)
    else this.enter(SENDING, body.held ? limits.response_head_ms : limits.request_body_idle_ms)
  }

  drained(): void {
    this.body?.drained()
  }

  received(buffer: Buffer, length: number): void {
    const { connection } = this
    if (connection === null) return
    this.heard = true
    if (this.phase === ANSWERING) this.enter(ANSWERING, this.context.limits.response_body_idle_ms)
    const fault = connection.parser.feed(buffer, length, this)
    if (fault !== undefined) this.refuse(fault)
    else if (this.headWaits) {
      this.headWaits = false
      this.response.flushHeaders()
    }
  }

  informational(head: ResponseHead): void {
    const { body, connection } = this
    if (this.done || connection === null) return
    if (head.status === 100) {
      if (this.phase === ASKING && body !== null) this.askForBody(connection, body)
    } else if (this.request.httpVersionMinor === 1) {
      this.response.writeInformation(head.status, head.headers)
    }
  }

  private askForBody(connection: UpstreamConnection, body: RequestBody): void {
    this.response.writeContinue()
    this.sendBody(connection, body)
  }

  wholeResponse(head: ResponseHead, body: string, clean: boolean): void {
    if (this.done) return
    this.writeHead(head, true)
    this.endAnswer(clean, body)
  }

  responseHead(head: ResponseHead, hasBody: boolean): void {
    const { connection } = this
    if (this.done || connection === null) return
    this.writeHead(head, hasBody)
    this.headWaits = hasBody
    connection.expectBulk(connection.parser.expectedBytes)
    this.enter(ANSWERING, this.context.limits.response_body_idle_ms)
  }

  private writeHead(head: ResponseHead, hasBody: boolean): void {
    const { headers } = head
    this.answered = true
    this.reusable = head.reusable
    this.connection?.heedHint(head.keepAliveMs)
    if (this.context.draining || this.upgrade !== null) headers.push('Connection', 'close')
    if (hasBody && head.trailer !== '' && head.chunked && this.request.httpVersionMinor === 1) {
      headers.push('Transfer-Encoding', 'chunked', 'Trailer', head.trailer)
    }
    // Last: a length in front of Content-Disposition makes Node write that field in another encoding. None on a 204 (RFC 9110, 8.6).
    if (head.contentLength !== -1 && head.status !== 204)
      headers.push('Content-Length', String(head.contentLength))
    this.response.writeHead(head.status, head.reason, headers)
  }

  bodyPiece(buffer: Buffer, start: number, end: number): void {
    const { connection, response } = this
    if (this.done || connection === null) return
    this.headWaits = false
    if (end - start >= LARGE_READ_BYTES) connection.expectBulk(Number.POSITIVE_INFINITY)
    if (response.write(connection.keep(buffer, start, end)) || this.stalled) return
    this.stalled = true
    connection.pause()
    this.enter(ANSWERING, this.context.limits.client_stall_ms)
    response.once('drain', () => this.clientDrained())
  }

  private clientDrained(): void {
    this.stalled = false
    if (this.done) return
    this.enter(ANSWERING, this.context.limits.response_body_idle_ms)
    this.connection?.resume()
  }

  responseEnd(trailers: string[], clean: boolean): void {
    if (this.done) return
    this.headWaits = false
    if (trailers.length > 0) this.response.addTrailers(pairs(trailers))
    this.endAnswer(clean, '')
  }

  /** The whole answer is in our hands: from here on the replica is free. */
  private endAnswer(clean: boolean, body: string): void {
    const sent = this.body === null || this.body.complete
    this.detach()?.release(this.reusable && clean && sent)
    this.response.end(body, 'latin1')
    this.finish()
  }

  switchedProtocol(head: ResponseHead, buffer: Buffer, start: number, end: number): void {
    const { connection, upgrade } = this
    if (this.done || connection === null) return
    if (upgrade === null || head.upgrade !== 'websocket') {
      this.refuse('unexpected_upgrade')
      return
    }
    this.detach()
    this.done = true
    this.response.detachSocket(upgrade.socket)
    const behind = Buffer.from(buffer.subarray(start, end))
    connection.user = new Splice(this.context, upgrade, connection, head, behind)
  }

  ended(): void {
    const fault = this.connection?.parser.finish(this)
    if (fault !== undefined) this.lost(undefined)
  }

  lost(error: Error | undefined): void {
    const { connection } = this
    if (this.done || connection === null) return
    this.detach()?.destroy()
    if (this.answered) this.fail(502, 'truncated')
    else if (!connection.connected) this.retryElsewhere(connection.upstream, error, 502)
    else if (!this.repeat(connection)) this.fail(502, error === undefined ? 'closed' : codeOf(error))
  }

  /** Nothing has been sent, so that any request may try another replica. */
  private retryElsewhere(refused: UpstreamState, error: Error | undefined, status: number): void {
    refused.eject(this.context.clock.now, this.context.limits.ejection_ms)
    this.tried = [...this.tried, refused]
    if (this.connects < MAX_CONNECTS && this.attempt(false)) this.context.counters.retries += 1
    else this.fail(status, error === undefined ? 'connect_timeout' : codeOf(error))
  }

  /**
   * A connection ended without a byte of an answer. The request may have reached the application all the same, so only one that
   * may be repeated is, and once: on a new connection, or on another replica when this one was new.
   */
  private repeat(connection: UpstreamConnection): boolean {
    if (this.repeated || this.heard || this.body !== null || !this.head.idempotent) return false
    this.repeated = true
    if (!connection.reused) this.tried = [...this.tried, connection.upstream]
    if (!this.attempt(true)) return false
    this.context.counters.retries += 1
    return true
  }

  tick(now: number): void {
    if (now >= this.deadline && !this.done) this.expire()
  }

  private expire(): void {
    const { connection, body } = this
    if (connection === null) return
    switch (this.phase) {
      case CONNECTING:
        this.detach()?.destroy()
        return this.retryElsewhere(connection.upstream, undefined, 504)
      case ASKING:
        return body === null ? undefined : this.askForBody(connection, body)
      case SENDING:
        return body?.held === true ? this.fail(504, 'body_stalled') : this.fail(408, 'client_slow')
      case WAITING:
        return this.fail(504, 'response_timeout')
      default:
        return this.fail(504, this.stalled ? 'client_stalled' : 'body_timeout')
    }
  }

  private refuse(fault: ResponseFault): void {
    this.context.counters.bad_responses += 1
    this.fail(502, fault)
  }

  /** Answers with an error page, or cuts the answer off when it has begun: the client must not take it for whole. */
  private fail(status: number, reason: string): void {
    if (this.done) return
    const { context, client, request, response, head } = this
    this.detach()?.destroy()
    context.log('request_failed', {
      status,
      reason,
      host: head.hostname,
      upstream: this.lastUpstream,
      request_id: head.requestId,
    })
    if (this.answered) {
      context.counters.truncated += 1
      this.done = true
      client.socket.destroy()
      client.served(this)
      return
    }
    countAnswer(context, status)
    const close = context.draining || this.upgrade !== null || status === 408
    sendErrorPage(request, response, status, head.requestId, close)
    this.finish()
  }

  /** Gives the connection up, for the caller to close or keep. */
  private detach(): UpstreamConnection | null {
    const { connection } = this
    if (connection === null) return null
    this.connection = null
    connection.user = null
    connection.upstream.requests -= 1
    return connection
  }

  private finish(): void {
    this.done = true
    const { body, client, context } = this
    if (body !== null && !body.complete) {
      if (body.started) body.stop(client, context)
      else if (!this.head.expectsContinue) discardBody(this.request, client, context)
    }
    client.served(this)
  }
}

const NONE: UpstreamState[] = []

/** Counts an answer that no application made. */
export function countAnswer(context: WorkerContext, status: number): void {
  const { answered } = context.counters
  answered.set(status, (answered.get(status) ?? 0) + 1)
}

function codeOf(error: Error): string {
  return 'code' in error && typeof error.code === 'string' ? error.code : error.name
}

function pairs(fields: readonly string[]): [string, string][] {
  const result: [string, string][] = []
  for (let index = 0; index < fields.length; index += 2) {
    result.push([fields[index] as string, fields[index + 1] as string])
  }
  return result
}
