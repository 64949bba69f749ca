import { type Static, type TSchema, Type } from 'typebox'
import { type ResourceLimits, ResourceLimitsInput, ResourceLimitsView } from '../projects/resource-limits-schema.ts'
import { EnvInput, EnvView } from '../secrets/env-schema.ts'

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
  stop_grace_seconds: number
}

/** Column `build`: how an image is made from the source. Paths are relative, normalised, without `..`; null: the default. */
export interface ServiceBuild {
  builder: Builder
  dockerfile_path: string | null
  context_path: string | null
  target: string | null
  build_args: Record<string, string>
}

export interface ServiceSource {
  type: 'upload'
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
  replicas: number
  desired_state: DesiredState
  live_deployment_id: string | null
  /** Rises with each change by a caller; the ETag. */
  revision: number
  created_at: string
  updated_at: string
}
