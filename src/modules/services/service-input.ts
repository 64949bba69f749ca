import { AppError, type ErrorDetail } from '../../lib/errors.ts'
import { normalizeRelativePath } from '../../lib/relative-path.ts'
import { mergeLimits } from '../projects/resource-limits-schema.ts'
import type { Env } from '../secrets/env-schema.ts'
import { readAutoscale } from './autoscale-input.ts'
import type { ServicePatch } from './service-input-schema.ts'
import {
  DEFAULT_CONFIG,
  type HealthCheck,
  replicasOf,
  type ServiceBuild,
  type ServiceConfig,
  type ServiceRow,
} from './service-schema.ts'
import { readIngress } from './ingress-input.ts'
import { DEFAULT_INGRESS } from './ingress-schema.ts'
import { keepReplicas } from './replicas-input.ts'
import { ONE_WRITER, readVolumes } from './service-volumes.ts'
import { readSource } from './service-source.ts'

/** What a caller may set of a service, but for env. */
export type ServiceSettings = Pick<
  ServiceRow,
  'source' | 'build' | 'config' | 'routing' | 'replicas' | 'autoscale'
>

/** What holds for a field that was never sent. */
export const DEFAULT_SETTINGS: ServiceSettings = {
  source: { type: 'upload' },
  build: {
    builder: 'auto',
    dockerfile_path: null,
    context_path: null,
    target: null,
    build_args: {},
    env_file: null,
    build_secrets: [],
  },
  config: DEFAULT_CONFIG,
  routing: {},
  replicas: 1,
  autoscale: null,
}

/**
 * Puts what was sent over `base`: the defaults for a new or replaced service, the present settings for a changed one. `present` is what a replaced one
 * has, and keeps in part: its passwords, and the number of its replicas where Berth chooses it. Throws VALIDATION_ERROR, which names every field
 * at fault.
 */
export function applyServiceInput(
  base: ServiceSettings,
  sent: Omit<ServicePatch, 'name' | 'env'>,
  present: Pick<ServiceSettings, 'routing' | 'replicas' | 'autoscale'> = base,
): ServiceSettings {
  const problems: ErrorDetail[] = []
  const build = readBuild(base.build, sent, problems)
  const config = readConfig(base.config, sent, problems)
  const autoscale = readAutoscale(base.autoscale, sent.autoscale, config.internal_port, problems)
  const settings: ServiceSettings = {
    source: readSource(base.source, sent.source, problems),
    build,
    config,
    routing: readRoutingInput(base.routing, sent, present.routing, problems),
    replicas: sent.replicas ?? keepReplicas(autoscale === null ? base : present, { config, autoscale }, sent),
    autoscale,
  }
  refuseTwoWriters(settings, sent, problems)
  if (problems.length > 0) throw new AppError('VALIDATION_ERROR', { details: problems })
  return settings
}

/** Bounds that were set before they were refused stand in the way of no other change: as many run as may. */
function refuseTwoWriters(
  { config, replicas, autoscale }: ServiceSettings,
  sent: Pick<ServicePatch, 'autoscale' | 'volumes'>,
  problems: ErrorDetail[],
): void {
  const isAsked = (sent.autoscale ?? sent.volumes ?? null) !== null
  const most = { replicas, 'autoscale.max_replicas': isAsked ? (autoscale?.max_replicas ?? 0) : 0 }
  for (const [field, count] of Object.entries(most))
    if (replicasOf(config, count) < count) problems.push({ field, message: ONE_WRITER })
}

/** `present`: passwords that were set before need not be sent again, also where everything is replaced. */
function readRoutingInput(
  base: ServiceSettings['routing'],
  sent: ServicePatch,
  present: ServiceSettings['routing'],
  problems: ErrorDetail[],
): ServiceSettings['routing'] {
  const known = present.ingress?.basic_auth?.users ?? []
  return {
    ...base,
    ...(sent.tls_enabled !== undefined && { tls_enabled: sent.tls_enabled }),
    ...(sent.ingress !== undefined && {
      ingress: readIngress(base.ingress ?? DEFAULT_INGRESS, sent.ingress, known, problems),
    }),
  }
}

const BUILD_ARG_NAME = /^[A-Za-z_][A-Za-z0-9_]{0,254}$/

function readBuild(base: ServiceBuild, sent: ServicePatch, problems: ErrorDetail[]): ServiceBuild {
  const build: ServiceBuild = {
    builder: sent.builder ?? base.builder,
    dockerfile_path: readPath('dockerfile_path', sent, base, problems),
    context_path: readPath('context_path', sent, base, problems),
    target: sent.target === undefined ? base.target : sent.target,
    build_args: sent.build_args ?? base.build_args,
    env_file: readPath('env_file', sent, base, problems),
    build_secrets: sent.build_secrets === undefined ? base.build_secrets : (sent.build_secrets ?? []),
  }
  for (const name of Object.keys(build.build_args).filter((each) => !BUILD_ARG_NAME.test(each))) {
    problems.push({
      field: `build_args.${name.slice(0, 255)}`,
      message: 'must be named by letters, digits and underscores',
    })
  }
  if (build.builder === 'node' || build.builder === 'static') problems.push(...dockerfileFields(build))
  return build
}

/** What only a Dockerfile obeys would otherwise be ignored in silence. */
function dockerfileFields(build: ServiceBuild): ErrorDetail[] {
  const given = [
    build.dockerfile_path !== null && 'dockerfile_path',
    build.target !== null && 'target',
    Object.keys(build.build_args).length > 0 && 'build_args',
    build.build_secrets.length > 0 && 'build_secrets',
  ]
  return given
    .filter((field) => field !== false)
    .map((field) => ({ field, message: `acts only with builder auto or dockerfile, not ${build.builder}` }))
}

function readPath(
  field: 'dockerfile_path' | 'context_path' | 'env_file',
  sent: ServicePatch,
  base: ServiceBuild,
  problems: ErrorDetail[],
): string | null {
  const given = sent[field]
  if (given === undefined) return base[field]
  if (given === null) return null
  const path = normalizeRelativePath(given)
  if (path === undefined || (path === '' && field !== 'context_path')) {
    problems.push({
      field,
      message: 'must be a path inside the source: relative, without .. and control characters',
    })
    return null
  }
  return path === '' ? null : path
}

function readConfig(base: ServiceConfig, sent: ServicePatch, problems: ErrorDetail[]): ServiceConfig {
  const config: ServiceConfig = {
    internal_port: sent.internal_port === undefined ? base.internal_port : sent.internal_port,
    command: sent.command === undefined ? base.command : sent.command,
    health_check: readHealthCheck(base.health_check, sent.health_check, problems),
    resource_limits:
      sent.resource_limits === undefined
        ? base.resource_limits
        : mergeLimits(base.resource_limits, sent.resource_limits),
    restart: sent.restart ?? base.restart,
    stop_grace_seconds: sent.stop_grace_seconds ?? base.stop_grace_seconds,
    volumes: sent.volumes ? readVolumes(sent.volumes, problems) : base.volumes,
    pre_stop_seconds: sent.pre_stop_seconds ?? base.pre_stop_seconds,
    read_only: sent.read_only ?? base.read_only,
    release_command: sent.release_command === undefined ? base.release_command : sent.release_command,
    release_timeout_seconds: sent.release_timeout_seconds ?? base.release_timeout_seconds,
    bake_seconds: sent.bake_seconds ?? base.bake_seconds,
  }
  for (const field of ['command', 'release_command'] as const)
    if (config[field]?.[0] === '') problems.push({ field: `${field}.0`, message: 'must name a program' })
  if (config.internal_port === null && config.health_check.path !== null) {
    problems.push({ field: 'health_check.path', message: 'needs an internal_port' })
  }
  return config
}

function readHealthCheck(
  base: HealthCheck,
  sent: ServicePatch['health_check'],
  problems: ErrorDetail[],
): HealthCheck {
  const merged: HealthCheck = { ...base, ...sent }
  for (const range of merged.statuses.split(',')) {
    const [low = 0, high = low] = range.split('-').map(Number)
    if (low > high) problems.push({ field: 'health_check.statuses', message: `${range} goes backwards` })
  }
  return merged
}

/**
 * PORT is not stored, because Berth sets it to internal_port; it may be sent with just that value, so that an existing .env file need
 * not be changed. `requireSamePort` checks that.
 */
export function splitPort(env: Env): { env: Env; port: string | undefined } {
  const { PORT: port, ...rest } = env
  return port === undefined ? { env, port } : { env: rest, port }
}

/** Throws VALIDATION_ERROR when a PORT was sent that is not the service's internal_port. */
export function requireSamePort(port: string | undefined, internalPort: number | null, field: string): void {
  if (port === undefined || port === String(internalPort)) return
  const message = `is set to internal_port, which is ${internalPort ?? 'null'}; set that instead`
  throw new AppError('VALIDATION_ERROR', { details: [{ field: `${field}.PORT`, message }] })
}
