import type { AccessRecord } from './access-record.ts'
import type { RequestHead } from '../messages/request-head.ts'
import type { ResponseHead } from '../messages/response-head.ts'
import { pickUpstream, type RouteState } from '../routing/route-index.ts'
import { keptUpstream, rewriteResponse } from '../rules/rewrite.ts'
import { UpstreamConnection } from '../upstream/upstream-connection.ts'
import type { UpstreamState } from '../upstream/upstream.ts'
import type { WorkerContext } from '../worker/worker-context.ts'

/** Replicas that are tried while none has been reached. */
const MAX_CONNECTS = 3
/** A request that cannot be repeated does not take a connection that the application may be about to close. */
const FRESH_MS = 1000

/** Finds the replica and the connection for one request, and decides whether there may be another attempt. */
export class Attempts {
  /** The replica of the last attempt, for the log. */
  upstreamId = ''
  private readonly context: WorkerContext
  private readonly head: RequestHead
  private readonly record: AccessRecord
  /** It may reach an application twice: safe to repeat by its method, and nothing of it is consumed by sending it. */
  private readonly repeatable: boolean
  private tried: UpstreamState[] = NONE
  private upstream: UpstreamState | undefined
  /** Which of two releases the request was drawn for; undefined before the first draw. */
  private canary: boolean | undefined
  private count = 0
  /** A kept connection turned out to be closed: that says nothing of the replica (RFC 9112, section 9.3.1). */
  private stale = false
  private repeated = false

  constructor(context: WorkerContext, head: RequestHead, record: AccessRecord) {
    this.context = context
    this.head = head
    this.record = record
    this.repeatable = head.idempotent && head.body === 'none'
  }

  /** Begins anew: all replicas of a newer table may be tried. */
  begin(): void {
    this.tried = NONE
    this.count = 0
  }

  /** A connection for the next attempt, a new one if `fresh`; undefined when there is no replica left to try. */
  next(fresh: boolean): UpstreamConnection | undefined {
    const { context } = this
    const upstream = this.nextUpstream()
    if (upstream === undefined) return undefined
    const notBefore = this.repeatable ? Number.NEGATIVE_INFINITY : context.clock.now - FRESH_MS
    return (fresh ? undefined : upstream.takeIdle(notBefore)) ?? new UpstreamConnection(upstream, context)
  }

  /** The replica for the next attempt. */
  nextUpstream(): UpstreamState | undefined {
    const { context, head } = this
    // Looked up anew each time: a replica that has left the table gets no new request.
    const route = context.routes.find(head.routeName)
    const upstream = route && this.pick(route)
    if (route !== undefined) this.record.attempt(route, upstream)
    if (upstream === undefined) return undefined
    this.upstreamId = upstream.id
    if (this.count > 0) context.counters.retries += 1
    this.count += 1
    return upstream
  }

  /** A replica's header section has come. */
  answered(response: ResponseHead): void {
    this.record.answer(response.status)
    const { head } = this
    if (head.rules !== undefined) rewriteResponse(head.rules, head, response, this.upstream)
  }

  private pick(route: RouteState): UpstreamState | undefined {
    const { context, head, tried } = this
    const { now } = context.clock
    const kept = head.rules && keptUpstream(head.rules, head, route, tried, now)
    this.upstream = kept ?? pickUpstream(route, this.isForCanary(route), tried, now)
    return this.upstream
  }

  /** Drawn once: another attempt is not another chance. */
  private isForCanary({ split }: RouteState): boolean {
    if (split === undefined) return false
    this.canary ??= this.context.routes.draw.isAmong(split.percent)
    return this.canary
  }

  /** A replica took no connection. Nothing has been sent, so that any request may try another one. */
  afterRefusal(upstream: UpstreamState): boolean {
    upstream.eject(this.context.clock.now, this.context.limits.ejection_ms)
    this.tried = [...this.tried, upstream]
    return this.count < MAX_CONNECTS
  }

  /**
   * A connection ended without a byte of an answer. The request may have reached the application all the same, so only one that
   * is safe to repeat is: once on a new connection when this one had been kept, and once on another replica when this one was new.
   */
  afterSilence(connection: UpstreamConnection): boolean {
    if (!this.repeatable) return false
    const already = connection.reused ? this.stale : this.repeated
    if (connection.reused) this.stale = true
    else {
      this.repeated = true
      this.tried = [...this.tried, connection.upstream]
    }
    return !already
  }
}

const NONE: UpstreamState[] = []
