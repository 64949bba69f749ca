import type { RequestHead } from '../messages/request-head.ts'
import type { RouteState } from '../routing/route-index.ts'
import type { UpstreamState } from '../upstream/upstream.ts'
import type { WorkerContext } from '../worker/worker-context.ts'

const MAX_PATH_LENGTH = 512
/** Longer texts are copied, so that an entry does not keep a whole request line in memory. */
const MAX_SLICED_LENGTH = 64
/** What is noted for a client that left before it was answered. */
export const CLIENT_GONE = 499

/** What the access log is told of one request once it is over. */
export class AccessRecord {
  bytes = 0
  private status = 0
  private readonly context: WorkerContext
  private readonly head: RequestHead
  private readonly begun: number
  /** When the last attempt was made, and when its header section had come. */
  private sent = 0
  private answered = 0
  private route: RouteState | undefined
  private upstream: UpstreamState | undefined

  constructor(context: WorkerContext, head: RequestHead, route?: RouteState) {
    this.context = context
    this.head = head
    this.route = route
    this.begun = context.system.monotonic()
  }

  /** The request is handed to a replica, or there is none. */
  attempt(route: RouteState, upstream: UpstreamState | undefined): void {
    this.route = route
    if (upstream === undefined) return
    this.upstream = upstream
    this.sent = this.context.system.monotonic()
  }

  /** The replica's header section has come. */
  answer(status: number): void {
    this.status = status
    this.answered = this.context.system.monotonic()
  }

  /** The connection speaks another protocol from now on, of which nothing is noted. */
  switched(status: number): void {
    this.answer(status)
    this.end()
  }

  /** It is over; `failed` is the status of an error page, unless an answer had begun. */
  end(failed?: number): void {
    const status = this.status === 0 ? (failed ?? 0) : this.status
    const { context, head, route, upstream } = this
    // What belongs to no service is in no log: the control domain, and requests to a service without any replica ever.
    if (route === undefined || route.route.service_id === '') return
    const { system } = context
    context.access.add({
      service_id: route.route.service_id,
      ts: system.now(),
      request_id: head.requestId,
      method: head.method,
      hostname: head.hostname,
      path: pathOf(head.path),
      status,
      bytes: this.bytes,
      duration_ms: rounded(system.monotonic() - this.begun),
      upstream_ms: this.answered === 0 ? null : rounded(this.answered - this.sent),
      deployment_id: upstream?.deploymentId ?? null,
      replica: upstream?.id ?? null,
      client_address: head.clientAddress,
    })
  }
}

/** Without its query, which may hold secrets. */
function pathOf(path: string): string {
  const query = path.indexOf('?')
  const end = Math.min(query === -1 ? path.length : query, MAX_PATH_LENGTH)
  if (end === path.length) return path
  const cut = path.slice(0, end)
  return path.length > MAX_SLICED_LENGTH ? Buffer.from(cut, 'latin1').toString('latin1') : cut
}

function rounded(ms: number): number {
  return Math.round(ms * 100) / 100
}
