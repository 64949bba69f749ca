import type { Upstream } from '../contract/route-table.ts'
import type { UpstreamConnection } from './upstream-connection.ts'
import { UpstreamSession } from './upstream-session.ts'
import type { WorkerContext } from '../worker/worker-context.ts'

/**
 * One replica as this worker sees it: how much runs through it and which idle connections there are. It outlives the table that
 * named it until its last request has ended.
 */
export class UpstreamState {
  readonly id: string
  readonly deploymentId: string
  readonly address: string
  readonly port: number
  /** Undefined: it is reached by TCP. */
  readonly socketPath: string | undefined
  /** Requests that have been handed to it and not been answered in full. */
  requests = 0
  /** Upgraded connections. */
  upgraded = 0
  /** When it was last given a request, by the worker's clock. */
  askedAt = Number.NEGATIVE_INFINITY
  /** The present table does not name it: no new requests, no idle connections. */
  retired = false
  /** Every open connection. */
  readonly connections = new Set<UpstreamConnection>()
  /** The connection used last is at the end. */
  private readonly idle: UpstreamConnection[] = []
  private session: UpstreamSession | undefined
  private refusals = 0
  private ejectedUntil = 0

  constructor(upstream: Upstream) {
    this.id = upstream.id
    this.deploymentId = upstream.deployment_id
    this.address = upstream.address
    this.port = upstream.port
    this.socketPath = upstream.socket_path
  }

  /** What it means that it takes no connection: a replica that should be there is not, but the control plane may be restarting. */
  get refusalStatus(): number {
    return this.socketPath === undefined ? 502 : 503
  }

  get load(): number {
    return this.requests + this.upgraded
  }

  get busy(): boolean {
    return this.load > 0
  }

  get idleConnections(): number {
    return this.idle.length
  }

  isEjected(now: number): boolean {
    return this.ejectedUntil > now
  }

  /** Passes it over for a while after it refused a connection, longer each time in a row. */
  eject(now: number, baseMs: number): void {
    this.ejectedUntil = now + baseMs * 2 ** Math.min(this.refusals, 3)
    this.refusals += 1
  }

  reinstate(): void {
    this.refusals = 0
    this.ejectedUntil = 0
  }

  /** The connection for gRPC calls, a new one if there is none that takes more. */
  http2Session(context: WorkerContext): UpstreamSession {
    if (this.session?.usable !== true)
      this.session = new UpstreamSession(this, context, () => this.reinstate())
    return this.session
  }

  /** The idle connection used last, unless it was last used before `notBefore`. */
  takeIdle(notBefore: number): UpstreamConnection | undefined {
    const connection = this.idle.at(-1)
    if (connection === undefined || connection.idleSince < notBefore) return undefined
    this.idle.pop()
    return connection
  }

  /** Keeps a connection for the next request, or closes it where that is not possible. */
  giveBack(connection: UpstreamConnection, context: WorkerContext): void {
    if (this.retired || this.idle.length >= context.limits.upstream_idle_connections) {
      connection.destroy()
      return
    }
    connection.idleSince = context.clock.now
    this.idle.push(connection)
  }

  forget(connection: UpstreamConnection): void {
    this.connections.delete(connection)
    const index = this.idle.indexOf(connection)
    if (index !== -1) this.idle.splice(index, 1)
  }

  closeExpired(now: number): void {
    while (this.idle[0] !== undefined && this.idle[0].expiresAt <= now) this.idle[0].destroy()
  }

  retire(): void {
    this.retired = true
    this.session?.close()
    while (this.idle.length > 0) this.idle.pop()?.destroy()
  }
}
