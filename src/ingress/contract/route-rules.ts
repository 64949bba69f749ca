/** What the operator of a service has said of its requests, as data in the route table. Everything is optional and costs nothing when absent. */
export interface RouteRules {
  /** Addresses and CIDR ranges. With `allow` only those may; `deny` wins. */
  allow?: string[]
  deny?: string[]
  maintenance?: { message: string; retry_after_seconds: number }
  redirects?: RedirectRule[]
  basic_auth?: { realm: string; users: BasicUser[] }
  max_body_bytes?: number
  request_headers?: HeaderRules
  response_headers?: HeaderRules
  /** The longest prefix that fits counts. */
  paths?: PathRule[]
  /** A client keeps its replica, by a cookie. */
  sticky?: boolean
}

export interface RedirectRule {
  path: string
  /** Only this very path; otherwise also everything below it. */
  exact: boolean
  to: string
  status: number
}

/** Salted SHA-256: the passwords are long by rule, so that a slow hash, which would hold up every other request, adds nothing. */
export interface BasicUser {
  username: string
  salt: string
  /** Hexadecimal, of salt and password. */
  sha256: string
}

export interface HeaderRules {
  set: Record<string, string>
  remove: string[]
}

export interface PathRule {
  prefix: string
  /** Under which the other service stands in the table. */
  hostname: string
  /** The prefix is taken off before the request is passed on. */
  strip: boolean
}

/** True for rules that the data plane can follow; both ends are ours, so that the outline is enough. */
export function isRouteRules(value: unknown): value is RouteRules {
  if (typeof value !== 'object' || value === null) return false
  const rules = value as RouteRules
  const lists = [rules.allow, rules.deny, rules.redirects, rules.paths, rules.basic_auth?.users ?? []]
  return (
    lists.every((list) => list === undefined || Array.isArray(list)) &&
    [rules.request_headers, rules.response_headers].every(
      (headers) =>
        headers === undefined || (Array.isArray(headers.remove) && typeof headers.set === 'object'),
    )
  )
}
