import { DEFAULT_LIMITS, type IngressLimits } from '../contract/limits.ts'

/** What a worker is told when it is started, as the one argument of its command line. Holds no secret. */
export interface WorkerSettings {
  /** Where the sockets and the routing table are. */
  directory: string
  bind_address: string
  port: number
  https_port: number
  /** Holds the key with which certificates and session tickets are sealed. */
  key_file: string
  /** Addresses and CIDR ranges whose forwarding headers are believed. */
  trusted_proxies: string[]
  /** Addresses and CIDR ranges of load balancers that begin connections with a header of the PROXY protocol. */
  proxy_protocol_peers: string[]
  fingerprint: string
  limits: IngressLimits
}

/** Reads the command line's argument; throws when it is not what the control plane writes. */
export function parseWorkerSettings(text: string | undefined): WorkerSettings {
  const value: Partial<WorkerSettings> = JSON.parse(text ?? '')
  const {
    directory,
    bind_address,
    port,
    https_port,
    key_file,
    trusted_proxies,
    proxy_protocol_peers,
    fingerprint,
    limits,
  } = value
  if (
    typeof directory !== 'string' ||
    typeof bind_address !== 'string' ||
    typeof port !== 'number' ||
    typeof https_port !== 'number' ||
    typeof key_file !== 'string' ||
    typeof fingerprint !== 'string' ||
    !Array.isArray(trusted_proxies) ||
    !Array.isArray(proxy_protocol_peers)
  ) {
    throw new Error('The settings of the ingress worker are incomplete.')
  }
  return {
    directory,
    bind_address,
    port,
    https_port,
    key_file,
    trusted_proxies,
    proxy_protocol_peers,
    fingerprint,
    limits: { ...DEFAULT_LIMITS, ...limits },
  }
}
