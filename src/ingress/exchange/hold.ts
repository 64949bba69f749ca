import type { HeldCount } from '../contract/control-protocol.ts'
import type { IngressLimits } from '../contract/limits.ts'
import type { RouteIndex } from '../routing/route-index.ts'

/** A request that waits until its service has a replica that takes it. */
export interface HeldRequest {
  readonly hostname: string
  /** A newer table is in place: goes on if there is a replica now. False: it waits on. */
  retry(): boolean
  /** It has waited long enough, or its route is gone. */
  giveUp(): void
  /** An exception was contained while it did one of these; its state is not to be relied on. */
  crashed(): void
}

interface Hold {
  readonly waiting: Map<HeldRequest, number>
  toldAt: number
}

/**
 * The requests of one worker that wait for a replica: of a service that sleeps, or that is replaced stop-first. Nothing of their
 * bodies is read meanwhile. Bounded in time by the route and in number by `held_requests` for each service.
 */
export class Holds {
  /** Told when requests of a service begin to wait, and every `held_report_ms` while they do. */
  onHeld: (held: HeldCount) => void = () => {}
  private readonly routes: RouteIndex
  private readonly limits: IngressLimits
  private readonly caught: (error: unknown) => void
  private readonly services = new Map<string, Hold>()

  /** `caught` counts and logs an exception that was contained. */
  constructor(routes: RouteIndex, limits: IngressLimits, caught: (error: unknown) => void) {
    this.routes = routes
    this.limits = limits
    this.caught = caught
    routes.changed = () => this.tableChanged()
  }

  /** Keeps a request waiting, at most until `until`, or for the route's time; undefined when it may not wait. */
  add(request: HeldRequest, now: number, until: number | undefined): number | undefined {
    const found = this.routes.find(request.hostname)
    const holdMs = found?.route.hold_ms ?? 0
    const deadline = until ?? now + holdMs
    if (found === undefined || holdMs === 0 || deadline <= now) return undefined
    const { service_id } = found.route
    const hold = this.services.get(service_id) ?? { waiting: new Map(), toldAt: Number.NEGATIVE_INFINITY }
    if (hold.waiting.size >= this.limits.held_requests) return undefined
    hold.waiting.set(request, deadline)
    this.services.set(service_id, hold)
    this.tell(service_id, hold, now)
    return deadline
  }

  /** The client has gone. */
  remove(request: HeldRequest): void {
    for (const [serviceId, { waiting }] of this.services) {
      if (waiting.delete(request) && waiting.size === 0) this.services.delete(serviceId)
    }
  }

  /** Looks again at every request that waits, in the order of their coming. */
  private tableChanged(): void {
    for (const [serviceId, hold] of this.services) {
      for (const request of hold.waiting.keys()) {
        const gone = this.routes.find(request.hostname) === undefined
        const goesOn = !gone && this.contain(request, () => request.retry())
        if (!gone && !goesOn) continue
        hold.waiting.delete(request)
        if (gone) this.contain(request, () => request.giveUp())
      }
      if (hold.waiting.size === 0) this.services.delete(serviceId)
    }
  }

  tick(now: number): void {
    for (const [serviceId, hold] of this.services) {
      for (const [request, deadline] of hold.waiting) {
        if (deadline > now) continue
        hold.waiting.delete(request)
        this.contain(request, () => request.giveUp())
      }
      if (hold.waiting.size === 0) this.services.delete(serviceId)
      else this.tell(serviceId, hold, now)
    }
  }

  /** A fault of one request is not to be the others'; it waits no more then. */
  private contain<T>(request: HeldRequest, run: () => T): T | true {
    try {
      return run()
    } catch (error) {
      this.caught(error)
      request.crashed()
      return true
    }
  }

  counts(): HeldCount[] {
    return [...this.services].map(([service_id, { waiting }]) => ({ service_id, requests: waiting.size }))
  }

  private tell(service_id: string, hold: Hold, now: number): void {
    if (now - hold.toldAt < this.limits.held_report_ms) return
    hold.toldAt = now
    this.onHeld({ service_id, requests: hold.waiting.size })
  }
}
