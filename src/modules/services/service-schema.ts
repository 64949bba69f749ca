import type { ResourceLimits } from '../projects/resource-limits-schema.ts'
import type { Autoscale } from './autoscale-schema.ts'
import { DEFAULT_INGRESS, type IngressSettings } from './ingress-schema.ts'

export const BUILDERS = ['auto', 'dockerfile', 'node', 'static'] as const
export type Builder = (typeof BUILDERS)[number]

export const RESTART_POLICIES = ['always', 'on_failure', 'never'] as const
export type RestartPolicy = (typeof RESTART_POLICIES)[number]

/** `deleting` is never seen outside: to the API such a service is gone. */
export type DesiredState = 'running' | 'stopped' | 'deleting'

export const SERVICE_STATUSES = [
  'Running',
  'Degraded',
  'Deploying',
  'CrashLoop',
  'Sleeping',
  'Stopped',
  'New',
] as const
export type ServiceStatus = (typeof SERVICE_STATUSES)[number]

/** How a new replica is judged. Column `config.health_check`. */
export interface HealthCheck {
  /** Asked with GET; null: a TCP connection is enough. */
  path: string | null
  timeout_seconds: number
  interval_ms: number
  /** Codes and ranges, separated by commas. */
  statuses: string
  /** Good probes in a row. */
  successes: number
  /** Without a port: how long a replica must have run. */
  stays_up_seconds: number
  /** Pause between probes of a replica that is well; 0: it is not probed any more. */
  live_interval_seconds: number
  /** Bad probes in a row after which a replica that was well is replaced. */
  live_failures: number
}

/** A volume of the service and where its replicas have it. */
export interface VolumeMount {
  name: string
  /** Absolute, normalised. */
  mount_path: string
  read_only: boolean
}

/** Column `config`: how replicas run. A release keeps its own copy. */
export interface ServiceConfig {
  /** Null: the service listens on nothing. */
  internal_port: number | null
  /** Replaces the image's CMD; null: the image's own. */
  command: string[] | null
  health_check: HealthCheck
  resource_limits: ResourceLimits | null
  restart: RestartPolicy
  /** Between SIGTERM and SIGKILL. */
  stop_grace_seconds: number
  /** Between leaving the routes and SIGTERM, at the least. */
  pre_stop_seconds: number
  /** Whether the root of the file system cannot be written to, but for /tmp. */
  read_only: boolean
  /** Runs once in the new image before anything of it gets requests; replaces the image's CMD. */
  release_command: string[] | null
  release_timeout_seconds: number
  /** How long a new release is watched, and given up for the old one when it fails. */
  bake_seconds: number
  volumes: VolumeMount[]
}

/** Column `routing` with its defaults: how requests to a service are treated. */
export interface ServiceRouting {
  /** Certificates are obtained for its domains. */
  tls_enabled: boolean
  ingress: IngressSettings
}

/** The routing of a row, complete. */
export function readRouting(stored: Partial<ServiceRouting>): ServiceRouting {
  return { tls_enabled: true, ingress: DEFAULT_INGRESS, ...stored }
}

/** The same as it is answered: whose passwords there are, not what is known of them. */
export function showRouting(stored: Partial<ServiceRouting>) {
  const { tls_enabled, ingress } = readRouting(stored)
  const { basic_auth: auth } = ingress
  const users = auth?.users.map(({ username }) => ({ username })) ?? []
  return { tls_enabled, ingress: { ...ingress, basic_auth: auth && { realm: auth.realm, users } } }
}

/** Column `build`: how an image is made from the source. Paths are relative, normalised, without `..`; null: the default. */
export interface ServiceBuild {
  builder: Builder
  dockerfile_path: string | null
  context_path: string | null
  target: string | null
  build_args: Record<string, string>
  /** A file of variables in the source that SOPS encrypted for this node. */
  env_file: string | null
  /** Names of variables whose values the build may read. */
  build_secrets: string[]
}

/**
 * Says that an image is of a project of this node, and on whose right it is taken: settled when the image is named, never anew by what projects
 * there are, and never answered. Null: nobody's, so that someone has to name the image again.
 */
export interface PullRight {
  project_id: string
  user_id: string | null
}

/** Where the deployments of a service come from; `service-source.ts` reads what is sent of each kind. */
export type ServiceSource =
  | { type: 'upload' }
  | {
      type: 'git'
      repo_url: string
      /** A branch, a tag, a commit or a whole name (`refs/...`); null: the default branch. */
      git_ref: string | null
      submodules: boolean
      /** These win over those of the build. */
      dockerfile_path?: string
      context_path?: string
    }
  /** In full; a name without a host is a repository of this node when it has a `pull_right`, else one of Docker Hub. */
  | { type: 'external_image'; image: string; auto_deploy: boolean; pull_right?: PullRight }
  /** In an external registry of the project. */
  | { type: 'external_image'; registry_id: string; image_ref: string; auto_deploy: boolean }

/** The image that a service's source names. */
export function namedBy(source: Extract<ServiceSource, { type: 'external_image' }>): {
  image: string
  registry_id: string | null
  pull_right?: PullRight
} {
  if (!('image' in source)) return { image: source.image_ref, registry_id: source.registry_id }
  const { image, pull_right } = source
  return { image, registry_id: null, ...(pull_right && { pull_right }) }
}

/** On whose right a source takes an image of this node. */
export function pullRightOf(source: ServiceSource): PullRight | undefined {
  return source.type === 'external_image' && 'image' in source ? source.pull_right : undefined
}

/** How replicas run when nothing else was said. Releases of before a field was there run as if it had this value, so each must change nothing. */
export const DEFAULT_CONFIG: ServiceConfig = {
  internal_port: 8080,
  command: null,
  health_check: {
    path: null,
    timeout_seconds: 60,
    interval_ms: 500,
    statuses: '200-399',
    successes: 2,
    stays_up_seconds: 5,
    live_interval_seconds: 10,
    live_failures: 3,
  },
  resource_limits: null,
  restart: 'always',
  stop_grace_seconds: 10,
  pre_stop_seconds: 0,
  read_only: false,
  release_command: null,
  release_timeout_seconds: 600,
  bake_seconds: 0,
  volumes: [],
}

/** Whether replicas write into a volume: then there is never more than one of them at a time. */
export function writesVolumes(config: Pick<ServiceConfig, 'volumes'>): boolean {
  return config.volumes.some((volume) => !volume.read_only)
}

/** How many replicas there are of a configuration when the service wants so many. */
export function replicasOf(config: Pick<ServiceConfig, 'volumes'>, wanted: number): number {
  return writesVolumes(config) ? Math.min(1, wanted) : wanted
}

/** How many replicas a canary has: its share of what the service wants, at least one where there is any. */
export function canaryReplicas(wanted: number, percent: number): number {
  return Math.ceil((wanted * percent) / 100)
}

/** Reads a column `build`, which may be older than some of the fields. */
export function readBuild(column: string): ServiceBuild {
  const build = JSON.parse(column) as Omit<ServiceBuild, 'env_file' | 'build_secrets'>
  return { env_file: null, build_secrets: [], ...build }
}

/** Reads a column `config`, which may be older than some of the fields. */
export function readConfig(column: string): ServiceConfig {
  const config = JSON.parse(column) as Partial<ServiceConfig>
  return {
    ...DEFAULT_CONFIG,
    ...config,
    health_check: { ...DEFAULT_CONFIG.health_check, ...config.health_check },
  }
}

/** A row of `services` with its JSON columns read. */
export interface ServiceRow {
  id: string
  project_id: string
  name: string
  source: ServiceSource
  build: ServiceBuild
  config: ServiceConfig
  env_sealed: string | null
  /** What was set of how requests are treated; `readRouting` fills in the rest. Acts at once and belongs to no release. */
  routing: Partial<ServiceRouting>
  replicas: number
  /** Null: the number of replicas is what someone said. */
  autoscale: Autoscale | null
  desired_state: DesiredState
  live_deployment_id: string | null
  /** The release that runs beside the live one and gets `canary_percent` (1 to 99) of the requests; both null: there is none. */
  canary_deployment_id: string | null
  canary_percent: number | null
  /** Rises with each change by a caller; the ETag. */
  revision: number
  created_at: string
  updated_at: string
}

/** A service without its variables, which may be large: what lists are made of. */
export type ServiceSummary = Omit<ServiceRow, 'env_sealed'>
