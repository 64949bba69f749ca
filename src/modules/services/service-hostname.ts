/** Always routed by the ingress: browsers and most resolvers take every name under it for this machine (RFC 6761, section 6.3). */
export const LOCAL_DOMAIN = 'localhost'

/**
 * The host names that lead to a service without any domain of its own, the preferred one first. Names of services and projects hold no
 * dots and at most 40 characters, so every label fits (63) and no two services share a name.
 */
export function serviceHostnames(
  service: string,
  project: string,
  controlDomain: string | undefined,
): string[] {
  const domains = controlDomain === undefined ? [LOCAL_DOMAIN] : [controlDomain, LOCAL_DOMAIN]
  return domains.map((domain) => `${service}.${project}.${domain}`)
}

/** Where a browser finds a hostname of the ingress: by TLS where there is a certificate for it. */
export function urlOfHostname(
  hostname: string,
  secured: boolean,
  ports: { http: number; https: number },
): string {
  const [scheme, port, usual] = secured ? ['https', ports.https, 443] : ['http', ports.http, 80]
  return `${scheme}://${hostname}${port === usual ? '' : `:${port}`}/`
}
