import type { Route } from '../../src/ingress/contract/route-table.ts'
import type { InFlight } from '../../src/modules/replicas/replica-drain.ts'

/** An ingress that remembers every table and has the requests that a test says it has. */
export interface FakeIngress {
  /** Every table that was different from the one before, oldest first. */
  readonly tables: Route[][]
  /** By container name. */
  readonly inFlight: Map<string, InFlight>
  /** Containers through which something runs or ran a moment ago. */
  readonly active: Set<string>
  /** When set, publishing fails with it. */
  broken: Error | undefined
  /** When set, publishing waits for it. */
  held: Promise<void> | undefined
  /** When set, it cannot say what runs through it. */
  mute: Error | undefined
  publish(routes: readonly Route[]): Promise<number>
  count(ids: readonly string[]): Promise<InFlight>
  /** Where new requests of a host name go now: names of containers. Undefined: there is no such host name. */
  upstreamsOf(hostname: string): string[] | undefined
  /** The same for every table there was. */
  historyOf(hostname: string): (string[] | undefined)[]
}

export function createFakeIngress(): FakeIngress {
  const ingress: FakeIngress = {
    tables: [],
    inFlight: new Map(),
    active: new Set(),
    broken: undefined,
    held: undefined,
    mute: undefined,
    publish: async (routes) => {
      await ingress.held
      if (ingress.broken) throw ingress.broken
      if (JSON.stringify(ingress.tables.at(-1) ?? []) !== JSON.stringify(routes))
        ingress.tables.push(structuredClone([...routes]))
      return ingress.tables.length
    },
    count: async (ids) => {
      if (ingress.mute) throw ingress.mute
      const total = { requests: 0, upgraded: 0 }
      for (const id of ids) {
        total.requests += ingress.inFlight.get(id)?.requests ?? 0
        total.upgraded += ingress.inFlight.get(id)?.upgraded ?? 0
      }
      return total
    },
    upstreamsOf: (hostname) => find(ingress.tables.at(-1) ?? [], hostname),
    historyOf: (hostname) => ingress.tables.map((table) => find(table, hostname)),
  }
  return ingress
}

function find(table: readonly Route[], hostname: string): string[] | undefined {
  return table.find((route) => route.hostname === hostname)?.upstreams.map(({ id }) => id)
}
