import type { Config } from '../config.ts'
import type { Route } from '../ingress/contract/route-table.ts'

/** Where the ingress reaches the API: in its own directory, which nobody else can enter. */
export function ingressDoorPath(config: Config): string {
  return `${config.data_dir}/ingress/api.sock`
}

/** The route to the API, the web console and the registry under the control domain, where there is one. */
export function controlRoutes(config: Config, isSecured: (hostname: string) => boolean): Route[] {
  const hostname = config.control_domain
  if (hostname === undefined) return []
  const upstream = { id: 'control', address: '127.0.0.1', port: 1, deployment_id: 'control' }
  return [
    {
      hostname,
      label: 'berth/control',
      service_id: 'control',
      upstreams: [{ ...upstream, socket_path: ingressDoorPath(config) }],
      https_only: isSecured(hostname),
    },
  ]
}
