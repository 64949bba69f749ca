import { createHash } from 'node:crypto'
import { isIP } from 'node:net'
import { createAddressList } from '../../lib/address-list.ts'
import type { PathRule, RedirectRule, RouteRules } from '../contract/route-rules.ts'

/** Rules in the form in which they are asked. */
export interface CompiledRules extends Omit<RouteRules, 'allow' | 'deny'> {
  mayPass: ((address: string) => boolean) | undefined
  redirects: RedirectRule[]
  /** Longest prefix first. */
  paths: PathRule[]
  /** Field names in lower case that applications are not given, and lines that they are. */
  requestRemove: ReadonlySet<string>
  requestLines: string
  responseRemove: ReadonlySet<string>
  /** Names and values in turn. */
  responseAdd: string[]
  /** Of services that paths lead to, by the hostname under which they stand in the table. */
  pathCookies: ReadonlyMap<string, StickyCookie>
}

/** Of a route that has nothing but a canonical hostname. */
export const NO_RULES: RouteRules = {}

const compiled = new WeakMap<RouteRules, CompiledRules>()

/** Made when the first request needs them, and kept as long as the table. */
export function compileRules(rules: RouteRules): CompiledRules {
  const present = compiled.get(rules)
  if (present) return present
  const { allow, deny, ...rest } = rules
  const allowed = allow && createAddressList(allow)
  const denied = deny && createAddressList(deny)
  const request = rules.request_headers ?? { set: {}, remove: [] }
  const response = rules.response_headers ?? { set: {}, remove: [] }
  const requestRemove = lowerNames([...request.remove, ...Object.keys(request.set)])
  // What opened this door is for nobody behind it, who might not even be of the same service.
  if (rules.basic_auth !== undefined) requestRemove.add('authorization')
  const made: CompiledRules = {
    ...rest,
    mayPass:
      allowed || denied
        ? (address) =>
            // What is no address, as a proxy in front may name it, stands on no list.
            isIP(address) !== 0 && denied?.(address) !== true && (allowed === undefined || allowed(address))
        : undefined,
    redirects: rules.redirects ?? [],
    paths: (rules.paths ?? []).toSorted((one, other) => other.prefix.length - one.prefix.length),
    requestRemove,
    requestLines: Object.entries(request.set)
      .map(([name, value]) => `${name}: ${value}\r\n`)
      .join(''),
    responseRemove: lowerNames([...response.remove, ...Object.keys(response.set)]),
    responseAdd: Object.entries(response.set).flat(),
    pathCookies: new Map(
      rules.sticky ? rules.paths?.map(({ hostname }) => [hostname, pathCookie(hostname)]) : [],
    ),
  }
  compiled.set(rules, made)
  return made
}

function lowerNames(names: readonly string[]): Set<string> {
  return new Set(names.map((name) => name.toLowerCase()))
}

/** Whether a path is this one, or below it. */
export function isBelow(path: string, prefix: string): boolean {
  return (
    path === prefix ||
    (path.startsWith(prefix) && (prefix.endsWith('/') || /^[/?]$/.test(path.charAt(prefix.length))))
  )
}

/** The cookie that tells which replica of one service a client keeps. */
export interface StickyCookie {
  name: string
  /** Finds its value in a header section; HTTP/2 clients may send several fields. */
  pattern: RegExp
}

const COOKIE = '__berth_replica'

function stickyCookie(name: string): StickyCookie {
  return { name, pattern: new RegExp(`\\r\\ncookie:(?:[^\\r]*[;\\s])?${name}=([0-9a-f]{24})[;\\r]`, 'i') }
}

/** Of the service that has the rules. */
export const OWN_COOKIE = stickyCookie(COOKIE)

/** Of another one: a client of one hostname keeps a replica of each service that it leads to. */
function pathCookie(hostname: string): StickyCookie {
  return stickyCookie(`${COOKIE}_${stickyId(hostname).slice(0, 8)}`)
}

/** What stands in the cookie of a client for a replica: nothing that tells of it. */
export function stickyId(name: string): string {
  return createHash('sha256').update(`sticky ${name}`).digest('hex').slice(0, 24)
}
