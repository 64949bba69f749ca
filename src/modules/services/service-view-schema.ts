import { type Static, Type } from 'typebox'
import { ResourceLimitsView } from '../projects/resource-limits-schema.ts'
import { EnvView } from '../secrets/env-schema.ts'
import { AutoscaleView } from './autoscale-schema.ts'
import { IngressView } from './ingress-schema.ts'
import { BUILDERS, RESTART_POLICIES, SERVICE_STATUSES } from './service-schema.ts'

/** A string or null, or an integer or null: as a list of types, which validators and serialisers read without trying branches. */
const NullableText = (description: string) =>
  Type.Unsafe<string | null>({ type: ['string', 'null'], description })
const NullableInteger = (description: string) =>
  Type.Unsafe<number | null>({ type: ['integer', 'null'], description })

export const HealthCheckView = Type.Object(
  {
    path: NullableText('Asked with GET; null: a TCP connection is enough.'),
    timeout_seconds: Type.Integer(),
    interval_ms: Type.Integer(),
    statuses: Type.String(),
    successes: Type.Integer(),
    stays_up_seconds: Type.Integer(),
    live_interval_seconds: Type.Integer(),
    live_failures: Type.Integer(),
  },
  { title: 'HealthCheck' },
)

const VolumeMount = Type.Object(
  { name: Type.String(), mount_path: Type.String(), read_only: Type.Boolean() },
  { title: 'VolumeMount' },
)

/** One object for every kind of source: what belongs to another kind is not there. */
const SourceView = Type.Object(
  {
    type: Type.Enum(['upload', 'git', 'external_image']),
    image: Type.Optional(Type.String()),
    registry_id: Type.Optional(Type.String()),
    image_ref: Type.Optional(Type.String()),
    auto_deploy: Type.Optional(Type.Boolean()),
    repo_url: Type.Optional(Type.String()),
    git_ref: Type.Optional(NullableText('A branch, a tag, a commit or refs/...; null: the default branch.')),
    submodules: Type.Optional(Type.Boolean()),
    dockerfile_path: Type.Optional(Type.String()),
    context_path: Type.Optional(Type.String()),
  },
  { title: 'ServiceSource' },
)

export const Canary = Type.Object(
  {
    deployment_id: Type.String(),
    percent: Type.Integer({ description: 'Of the requests.' }),
    replicas: Type.Integer({ description: 'How many of it ought to run.' }),
    healthy_replicas: Type.Integer(),
  },
  { title: 'Canary' },
)
export type Canary = Static<typeof Canary>

const CanaryView = Type.Unsafe<Canary | null>({
  type: ['object', 'null'],
  properties: Canary.properties,
  required: Canary.required,
  description: 'The release that runs beside the live one for a share of the requests; null: there is none.',
})

export const ServiceView = Type.Object(
  {
    id: Type.String(),
    project_id: Type.String(),
    name: Type.String(),
    source: SourceView,
    builder: Type.Enum(BUILDERS),
    dockerfile_path: NullableText('Inside the context; null: Dockerfile.'),
    context_path: NullableText('Folder of the source that is built; null: its root.'),
    target: NullableText('Stage of the Dockerfile; null: the last.'),
    build_args: Type.Record(Type.String(), Type.String()),
    env_file: NullableText('A file of variables in the source that SOPS encrypted for this node.'),
    build_secrets: Type.Array(Type.String(), {
      description: 'Names of variables whose values the build may read.',
    }),
    internal_port: NullableInteger('Where the service listens; null: nowhere.'),
    command: Type.Unsafe<string[] | null>({ type: ['array', 'null'], items: { type: 'string' } }),
    replicas: Type.Integer({ description: 'How many ought to run; with autoscale what Berth chose last.' }),
    autoscale: AutoscaleView,
    health_check: HealthCheckView,
    resource_limits: ResourceLimitsView,
    env: EnvView,
    restart: Type.Enum(RESTART_POLICIES),
    stop_grace_seconds: Type.Integer(),
    pre_stop_seconds: Type.Integer(),
    read_only: Type.Boolean(),
    release_command: Type.Unsafe<string[] | null>({ type: ['array', 'null'], items: { type: 'string' } }),
    release_timeout_seconds: Type.Integer(),
    bake_seconds: Type.Integer(),
    volumes: Type.Array(VolumeMount),
    domains: Type.Array(Type.String(), {
      description: 'The hostnames attached to it, proven or not; see /v1/services/{id}/domains.',
    }),
    tls_enabled: Type.Boolean({ description: 'Whether certificates are obtained for its domains.' }),
    ingress: IngressView,
    status: Type.Enum(SERVICE_STATUSES),
    status_reason: NullableText(
      'Of a Degraded service or one in a CrashLoop: what is wrong with a replica, as far as it is known. Of a New one: why its last deployment failed.',
    ),
    url: NullableText(
      'Where it answers: https where its name has a certificate; null when it listens on no port.',
    ),
    notes: Type.Array(Type.String(), {
      description: 'For people: what is allowed and may yet surprise them, such as the limits of sleep.',
    }),
    live_deployment_id: NullableText('The release that runs now.'),
    canary: CanaryView,
    created_at: Type.String(),
    updated_at: Type.String(),
  },
  { title: 'Service' },
)
/** What is answered; the revision becomes the ETag. */
export type ServiceView = Static<typeof ServiceView> & { revision: number }

export const Workload = Type.Object(
  {
    service_id: Type.String(),
    project_id: Type.String(),
    project_name: Type.String(),
    name: Type.String(),
    status: Type.Enum(SERVICE_STATUSES),
    status_reason: NullableText(
      'Of a Degraded service or one in a CrashLoop: what is wrong with a replica, as far as it is known. Of a New one: why its last deployment failed.',
    ),
    replicas: Type.Integer({ description: 'How many ought to run.' }),
    healthy_replicas: Type.Integer(),
    url: NullableText('Where it answers; null when it listens on no port.'),
  },
  { title: 'Workload' },
)
export type Workload = Static<typeof Workload>
