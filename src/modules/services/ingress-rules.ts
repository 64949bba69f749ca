import type { RouteRules } from '../../ingress/contract/route-rules.ts'
import type { IngressSettings } from './ingress-schema.ts'

/** What the data plane is told of all hostnames of a service; undefined when there is nothing to tell. Pure. */
export function routeRules(
  settings: IngressSettings,
  hostnameOf: (service: string) => string,
): RouteRules | undefined {
  const { allow, deny, maintenance, redirects, basic_auth, max_body_bytes, paths, sticky } = settings
  const rules: RouteRules = {
    ...(allow.length > 0 && { allow }),
    ...(deny.length > 0 && { deny }),
    ...(maintenance && { maintenance }),
    ...(redirects.length > 0 && { redirects }),
    ...(basic_auth && { basic_auth }),
    ...(max_body_bytes !== null && { max_body_bytes }),
    ...(settings.request_headers && { request_headers: settings.request_headers }),
    ...(settings.response_headers && { response_headers: settings.response_headers }),
    ...(paths.length > 0 && {
      paths: paths.map(({ prefix, service, strip }) => ({ prefix, strip, hostname: hostnameOf(service) })),
    }),
    ...(sticky && { sticky }),
  }
  return Object.keys(rules).length > 0 ? rules : undefined
}

/** The hostnames of a service that send requests on to another one, with that one. Pure. */
export function canonicalHosts(
  wanted: IngressSettings['canonical'],
  hostnames: readonly string[],
): Map<string, string> {
  const canonical = new Map<string, string>()
  if (wanted === null) return canonical
  const present = new Set(hostnames)
  for (const hostname of hostnames) {
    const bare = hostname.startsWith('www.') ? hostname.slice(4) : hostname
    const host = wanted === 'www' ? `www.${bare}` : bare
    // Only between names that are both there: a request is never sent where nobody answers.
    if (host !== hostname && present.has(host)) canonical.set(hostname, host)
  }
  return canonical
}
