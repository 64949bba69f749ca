import { systemCodeOf } from '../../lib/errors.ts'
import { AccessRecord, CLIENT_GONE } from './access-record.ts'
import { type Answer, NO_TRAILERS, type RequestClient, type ServedRequest } from './answer.ts'
import { Attempts } from './attempts.ts'
import { ANSWERING, ASKING, CONNECTING, SENDING, timeoutOf, WAITING } from './exchange-phase.ts'
import type { HeldRequest } from './hold.ts'
import type { Incoming } from './incoming.ts'
import type { RequestBody } from './request-body.ts'
import type { RequestHead } from '../messages/request-head.ts'
import type { ResponseFault, ResponseHead } from '../messages/response-head.ts'
import type { ResponseSink } from '../messages/response-parser.ts'
import { Splice, type UpgradeClient } from './upgrade.ts'
import type { ConnectionUser, UpstreamConnection } from '../upstream/upstream-connection.ts'
import type { WorkerContext } from '../worker/worker-context.ts'

const LARGE_READ_BYTES = 16 * 1024

/** One request on its way: to a replica, and the answer back. */
export class Exchange implements ServedRequest, HeldRequest, ConnectionUser, ResponseSink {
  readonly hostname: string
  private readonly context: WorkerContext
  private readonly client: RequestClient
  private readonly answer: Answer
  private readonly head: RequestHead
  private readonly upgrade: UpgradeClient | null
  private readonly body: RequestBody | null
  private readonly attempts: Attempts
  private readonly record: AccessRecord
  private connection: UpstreamConnection | null = null
  private phase: number = CONNECTING
  private deadline = Number.POSITIVE_INFINITY
  private heldUntil: number | undefined
  /** Something of a response has come on the present connection. */
  private heard = false
  private reusable = false
  private done = false

  constructor(context: WorkerContext, incoming: Incoming) {
    this.context = context
    this.hostname = incoming.head.routeName
    this.client = incoming.client
    this.answer = incoming.answer
    this.head = incoming.head
    this.upgrade = incoming.upgrade
    this.body = incoming.body
    this.record = new AccessRecord(context, incoming.head)
    this.attempts = new Attempts(context, incoming.head, this.record)
  }

  start(): void {
    if (!this.attempt(false)) this.failUnlessHeld(503, 'no_replica')
  }

  private failUnlessHeld(status: number, reason: string): void {
    const { context } = this
    const until = context.holds.add(this, context.clock.now, this.heldUntil)
    if (until === undefined) this.fail(status, reason)
    else this.heldUntil = until
  }

  retry(): boolean {
    this.attempts.begin()
    return this.attempt(false)
  }

  giveUp(): void {
    this.fail(503, 'held_in_vain')
  }

  /** The client has gone: nobody waits for the answer. */
  abandon(): void {
    if (this.done) return
    this.done = true
    this.record.end(CLIENT_GONE)
    if (this.heldUntil !== undefined) this.context.holds.remove(this)
    this.detach()?.destroy()
  }

  /** Hands the request to a replica; false when there is none left to try. */
  private attempt(fresh: boolean): boolean {
    const connection = this.attempts.next(fresh || this.upgrade !== null)
    if (connection === undefined) return false
    this.connection = connection
    this.heard = false
    connection.user = this
    connection.upstream.requests += 1
    connection.upstream.askedAt = this.context.clock.now
    connection.parser.begin(this.head.isHead)
    if (connection.connected) this.connected()
    else {
      this.enter(CONNECTING, this.context.limits.upstream_connect_ms)
      connection.socket.write(this.head.text, 'latin1')
    }
    return true
  }

  private enter(phase: number, limitMs: number): void {
    this.phase = phase
    this.deadline = this.context.clock.now + limitMs
  }

  connected(): void {
    const { connection, body, head, context } = this
    if (connection === null) return
    const { socket } = connection
    // Header section and what has come of the body leave together.
    const together = body !== null && !head.expectsContinue
    if (together) socket.cork()
    // A new connection has been given it before it was there.
    if (connection.reused) socket.write(head.text, 'latin1')
    if (body === null) this.enter(WAITING, context.limits.response_head_ms)
    else if (head.expectsContinue) this.enter(ASKING, context.limits.continue_ms)
    else this.sendBody(connection, body)
    if (together) process.nextTick(() => socket.uncork())
  }

  private sendBody(connection: UpstreamConnection, body: RequestBody): void {
    this.enter(SENDING, this.context.limits.request_body_idle_ms)
    body.start(connection, () => this.bodyMoved(body))
  }

  private bodyMoved(body: RequestBody): void {
    const { limits } = this.context
    if (body.overflowed) return this.fail(413, 'body_too_long')
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
    else this.answer.flush()
  }

  informational(head: ResponseHead): void {
    const { body, connection } = this
    if (this.done || connection === null) return
    if (head.status === 100) {
      if (this.phase === ASKING && body !== null) this.askForBody(connection, body)
    } else this.answer.informational(head)
  }

  private askForBody(connection: UpstreamConnection, body: RequestBody): void {
    this.answer.askForBody()
    this.sendBody(connection, body)
  }

  wholeResponse(head: ResponseHead, body: string, clean: boolean): void {
    if (this.done) return
    this.beginAnswer(head, true)
    this.endAnswer(clean, body, NO_TRAILERS)
  }

  responseHead(head: ResponseHead, hasBody: boolean): void {
    const { connection } = this
    if (this.done || connection === null) return
    this.beginAnswer(head, hasBody)
    connection.expectBulk(connection.parser.expectedBytes)
    this.enter(ANSWERING, this.context.limits.response_body_idle_ms)
  }

  private beginAnswer(head: ResponseHead, hasBody: boolean): void {
    this.reusable = head.reusable
    this.attempts.answered(head)
    this.connection?.heedHint(head.keepAliveMs)
    this.answer.begin(head, hasBody)
  }

  bodyPiece(buffer: Buffer, start: number, end: number): void {
    const { connection, answer } = this
    if (this.done || connection === null) return
    this.record.bytes += end - start
    if (end - start >= LARGE_READ_BYTES) connection.expectBulk(Number.POSITIVE_INFINITY)
    if (!answer.write(connection.buffer.keep(buffer, start, end), () => this.clientDrained())) return
    connection.pause()
    this.enter(ANSWERING, this.context.limits.client_stall_ms)
  }

  private clientDrained(): void {
    if (this.done) return
    this.enter(ANSWERING, this.context.limits.response_body_idle_ms)
    this.connection?.resume()
  }

  responseEnd(trailers: string[], clean: boolean): void {
    if (!this.done) this.endAnswer(clean, '', trailers)
  }

  /** The whole answer is in our hands: from here on the replica is free. */
  private endAnswer(clean: boolean, body: string, trailers: readonly string[]): void {
    const sent = this.body === null || this.body.complete
    this.detach()?.release(this.reusable && clean && sent)
    this.record.bytes += body.length
    this.answer.end(body, trailers)
    this.finish()
  }

  switchedProtocol(head: ResponseHead, buffer: Buffer, start: number, end: number): void {
    const { connection, upgrade, client } = this
    if (this.done || connection === null) return
    if (upgrade === null || head.upgrade !== 'websocket' || upgrade.handshake?.isAnswered(head) === false) {
      this.refuse('unexpected_upgrade')
      return
    }
    this.detach()
    this.done = true
    this.record.switched(head.status)
    connection.user = new Splice(this.context, upgrade, connection, head, buffer.subarray(start, end))
    client.served(this)
  }

  ended(): void {
    const fault = this.connection?.parser.finish(this)
    if (fault !== undefined) this.lost(undefined)
  }

  lost(error: Error | undefined): void {
    const { connection } = this
    if (this.done || connection === null) return
    this.detach()?.destroy()
    const reason = error === undefined ? 'closed' : (systemCodeOf(error) ?? error.name)
    if (this.answer.begun) this.fail(502, 'truncated')
    else if (!connection.connected) this.refused(connection, reason, connection.upstream.refusalStatus)
    else if (this.heard || !this.attempts.afterSilence(connection) || !this.attempt(true))
      this.fail(502, reason)
  }

  private refused(connection: UpstreamConnection, reason: string, status: number): void {
    if (!this.attempts.afterRefusal(connection.upstream) || !this.attempt(false))
      this.failUnlessHeld(status, reason)
  }

  crashed(): void {
    if (this.done) return
    this.abandon()
    this.client.destroy()
  }

  tick(now: number): void {
    if (now >= this.deadline && !this.done) this.expire()
  }

  private expire(): void {
    const { body, phase, connection } = this
    if (connection === null) return
    if (phase === CONNECTING) {
      this.detach()?.destroy()
      this.refused(connection, 'connect_timeout', 504)
    } else if (phase !== ASKING) this.fail(...timeoutOf(phase, body?.held === true, this.answer.stalled))
    else if (body !== null) this.askForBody(connection, body)
  }

  private refuse(fault: ResponseFault): void {
    this.context.counters.bad_responses += 1
    this.fail(502, fault)
  }

  private fail(status: number, reason: string): void {
    if (this.done) return
    const { context, head } = this
    this.detach()?.destroy()
    context.log('request_failed', {
      status,
      reason,
      host: head.hostname,
      upstream: this.attempts.upstreamId,
      request_id: head.requestId,
    })
    this.answer.fail(status, head.requestId)
    this.finish(status)
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

  private finish(failed?: number): void {
    this.done = true
    this.record.end(failed)
    this.body?.stop()
    this.client.served(this)
  }
}
