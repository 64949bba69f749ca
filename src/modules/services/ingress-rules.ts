import type { RouteRules } from '../../ingress/rules/route-rules.ts'
import type { IngressSettings } from './ingress-schema.ts'

/** What the data plane is told for one hostname of a service; undefined when there is nothing to tell. Pure. */
export function routeRules(
  settings: IngressSettings,
  hostname: string,
  hostnames: readonly string[],
  hostnameOf: (service: string) => string,
): RouteRules | undefined {
  const canonical = canonicalHost(settings.canonical, hostname, hostnames)
  const { allow, deny, maintenance, redirects, basic_auth, max_body_bytes, paths, sticky } = settings
  const rules: RouteRules = {
    ...(allow.length > 0 && { allow }),
    ...(deny.length > 0 && { deny }),
    ...(maintenance && { maintenance }),
    ...(canonical !== undefined && { canonical_host: canonical }),
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

function canonicalHost(
  wanted: IngressSettings['canonical'],
  hostname: string,
  hostnames: readonly string[],
): string | undefined {
  if (wanted === null) return undefined
  const bare = hostname.startsWith('www.') ? hostname.slice(4) : hostname
  const canonical = wanted === 'www' ? `www.${bare}` : bare
  // Only between names that are both there: a request is never sent where nobody answers.
  return canonical !== hostname && hostnames.includes(canonical) ? canonical : undefined
}
