/**
 * The table that the control plane hands to the data plane, whole, by version. The only type that the two share.
 */
export interface RouteTable {
  /** Rises by one with every change; a worker ignores a table that is not newer than its own. */
  version: number
  routes: Route[]
}

export interface Route {
  /** Lower case, no port, no trailing dot. Exact match. */
  hostname: string
  /** For messages and logs: `<project>/<service>`. */
  label: string
  service_id: string
  /** Replicas that may get new requests. Empty: 503. */
  upstreams: Upstream[]
}

export interface Upstream {
  /** The container's name: unique for each replica of each deployment. */
  id: string
  /** An IP address. */
  address: string
  port: number
  deployment_id: string
}

/** An empty table, older than every other. */
export const EMPTY_TABLE: RouteTable = { version: 0, routes: [] }
