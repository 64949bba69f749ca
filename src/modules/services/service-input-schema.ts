import { type Static, Type } from 'typebox'
import { ResourceName } from '../projects/project-schema.ts'
import { nullable as nullableObject } from '../../http/schema.ts'
import { ResourceLimitsInput } from '../projects/resource-limits-schema.ts'
import { ENV_NAME_PATTERN, EnvInput, MAX_ENV_NAME_LENGTH } from '../secrets/env-schema.ts'
import { AutoscaleInput } from './autoscale-schema.ts'
import { IngressInput } from './ingress-schema.ts'
import { BUILDERS, RESTART_POLICIES } from './service-schema.ts'

/*
 * What may be sent. No field has a JSON Schema default, because a default would also be filled into a PATCH: the defaults are those of
 * service-input.ts. What may be null is a list of types; with anyOf one wrong value would be reported once for each branch.
 */

const closed = { additionalProperties: false } as const
const nullable = <T>(schema: { type: string; [keyword: string]: unknown }) =>
  Type.Unsafe<T | null>({ ...schema, type: [schema.type, 'null'] })

const NO_NUL = '^[^\\0]*$'
const STATUS = '[1-5][0-9]{2}(-[1-5][0-9]{2})?'

const RelativePath = (description: string) =>
  Type.Optional(
    nullable<string>({ type: 'string', minLength: 1, maxLength: 1024, pattern: NO_NUL, description }),
  )

const Command = (description: string) =>
  Type.Optional(
    nullable<string[]>({
      type: 'array',
      items: { type: 'string', pattern: NO_NUL, maxLength: 32_768 },
      minItems: 1,
      maxItems: 256,
      description,
    }),
  )

const HealthCheckInput = Type.Object(
  {
    path: Type.Optional(
      nullable<string>({
        type: 'string',
        pattern: '^/[\\x21-\\x7e]*$',
        maxLength: 1024,
        description: 'Asked with GET; null (the default): a TCP connection is enough.',
      }),
    ),
    timeout_seconds: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 3600,
        description: 'How long a new replica may take to become healthy. Default 60.',
      }),
    ),
    interval_ms: Type.Optional(
      Type.Integer({ minimum: 50, maximum: 60_000, description: 'Pause between probes. Default 500.' }),
    ),
    statuses: Type.Optional(
      Type.String({
        pattern: `^${STATUS}(,${STATUS}){0,31}$`,
        description: 'Codes and ranges that count as good, separated by commas. Default 200-399.',
      }),
    ),
    successes: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 100,
        description: 'Good probes in a row that are needed. Default 2.',
      }),
    ),
    stays_up_seconds: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: 3600,
        description: 'Without a port: how long a replica must have run to be healthy. Default 5.',
      }),
    ),
    live_interval_seconds: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: 3600,
        description: 'Pause between probes of a replica that is well; 0: none. Default 10.',
      }),
    ),
    live_failures: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 100,
        description: 'Bad probes in a row after which a replica gets no requests and is replaced. Default 3.',
      }),
    ),
  },
  { ...closed, title: 'HealthCheckInput' },
)

/** One object for every kind of source (`service-source.ts` says which field belongs to which): with branches one wrong value would be reported once for each. */
export const SourceInput = Type.Object(
  {
    type: Type.Enum(['upload', 'git', 'external_image']),
    repo_url: Type.Optional(Type.String({ maxLength: 2048 })),
    git_ref: Type.Optional(nullable<string>({ type: 'string', maxLength: 255 })),
    dockerfile_path: Type.Optional(Type.String({ maxLength: 1024 })),
    context_path: Type.Optional(Type.String({ maxLength: 1024 })),
    submodules: Type.Optional(Type.Boolean()),
    image: Type.Optional(Type.String({ maxLength: 512 })),
    registry_id: Type.Optional(Type.String({ maxLength: 64 })),
    image_ref: Type.Optional(Type.String({ maxLength: 512 })),
    auto_deploy: Type.Optional(
      Type.Boolean({
        description:
          'Of an image in the registry of this node, named by a tag: a push of the tag deploys it.',
      }),
    ),
  },
  {
    ...closed,
    description:
      'Where deployments come from. {"type":"upload"}, {"type":"git","repo_url":...}, or {"type":"external_image"} with image, or with registry_id and image_ref.',
  },
)
export type SourceInput = Static<typeof SourceInput>

const VolumeMountInput = Type.Object(
  {
    name: Type.String({ pattern: '^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$' }),
    mount_path: Type.String({ minLength: 2, maxLength: 255 }),
    read_only: Type.Optional(Type.Boolean({ description: 'Default false.' })),
  },
  { ...closed, title: 'VolumeMountInput' },
)
type VolumeMountInput = Static<typeof VolumeMountInput>

const Fields = {
  source: Type.Optional(SourceInput),
  builder: Type.Optional(
    Type.Enum(BUILDERS, {
      description: 'auto (the default): the Dockerfile, else package.json, else static files.',
    }),
  ),
  dockerfile_path: RelativePath('Inside the context; null (the default): Dockerfile.'),
  context_path: RelativePath('Folder of the source that is built; null (the default): its root.'),
  target: Type.Optional(
    nullable<string>({
      type: 'string',
      pattern: '^[A-Za-z0-9][A-Za-z0-9_.-]*$',
      maxLength: 128,
      description: 'Stage of the Dockerfile; null (the default): the last.',
    }),
  ),
  env_file: RelativePath(
    'A file of variables in the source (lines of NAME=value, .json or .yaml) that SOPS encrypted for the key of `GET /v1/secrets/recipient`. Its values come before those of the project and after those of the service.',
  ),
  build_args: Type.Optional(
    Type.Unsafe<Record<string, string>>({
      type: 'object',
      additionalProperties: { type: 'string', pattern: NO_NUL, maxLength: 8192 },
      maxProperties: 100,
      description:
        'Build arguments of the Dockerfile, named by letters, digits and underscores. They are readable by everyone who sees the service: no place for secrets.',
    }),
  ),
  build_secrets: Type.Optional(
    nullable<string[]>({
      type: 'array',
      items: { type: 'string', pattern: ENV_NAME_PATTERN, maxLength: MAX_ENV_NAME_LENGTH },
      maxItems: 100,
      uniqueItems: true,
      description:
        'Names of its variables that the build may read with `RUN --mount=type=secret,id=NAME` in a Dockerfile; the image keeps nothing of them. Needs BuildKit. Null (the default): none.',
    }),
  ),
  internal_port: Type.Optional(
    nullable<number>({
      type: 'integer',
      minimum: 1,
      maximum: 65_535,
      description:
        'Where the service listens (default 8080), given to it as PORT; null: it listens on nothing.',
    }),
  ),
  command: Command("Replaces the image's command; null (the default): the image's own."),
  autoscale: Type.Optional(AutoscaleInput),
  replicas: Type.Optional(Type.Integer({ minimum: 0, maximum: 100, description: 'Default 1.' })),
  health_check: Type.Optional(HealthCheckInput),
  resource_limits: Type.Optional(ResourceLimitsInput),
  restart: Type.Optional(
    Type.Enum(RESTART_POLICIES, { description: 'What happens to a replica that exits. Default always.' }),
  ),
  stop_grace_seconds: Type.Optional(
    Type.Integer({ minimum: 0, maximum: 300, description: 'Time between SIGTERM and SIGKILL. Default 10.' }),
  ),
  pre_stop_seconds: Type.Optional(
    Type.Integer({
      minimum: 0,
      maximum: 300,
      description: 'Time between leaving the routes and SIGTERM, at the least. Default 0.',
    }),
  ),
  read_only: Type.Optional(
    Type.Boolean({ description: 'Nothing can be written but /tmp and volumes. Default false.' }),
  ),
  release_command: Command(
    'Runs once in the new image, with its variables, before anything of it gets requests; a failure ends the deployment. Not run by rollbacks.',
  ),
  release_timeout_seconds: Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum: 86_400,
      description: 'How long the release command may take. Default 600.',
    }),
  ),
  bake_seconds: Type.Optional(
    Type.Integer({
      minimum: 0,
      maximum: 86_400,
      description:
        'How long a release is watched once it is live; when it fails its probes the release before it comes back. Default 0.',
    }),
  ),
  env: Type.Optional(EnvInput),
  volumes: Type.Optional(
    nullable<VolumeMountInput[]>({
      type: 'array',
      items: VolumeMountInput,
      maxItems: 16,
      description:
        'Named volumes of the service, kept over deployments. A service that writes into one has one replica, and is replaced stop-first: requests wait meanwhile. Left out or null: they stay as they are.',
    }),
  ),
  tls_enabled: Type.Optional(
    Type.Boolean({ description: 'Whether certificates are obtained for its domains. Default true.' }),
  ),
  ingress: Type.Optional(nullableObject(IngressInput)),
  domains: Type.Optional(
    nullable<string[]>({
      type: 'array',
      items: { type: 'string', minLength: 1, maxLength: 1024 },
      maxItems: 100,
      description:
        'The hostnames that it is to have: new ones are claimed, absent ones removed. Left out or null: they stay as they are.',
    }),
  ),
}

const SERVICE_EXAMPLE = {
  name: 'web',
  source: { type: 'upload' },
  internal_port: 8080,
  health_check: { path: '/healthz' },
  env: { GREETING: 'hello' },
}

export const ServiceCreate = Type.Object(
  {
    name: ResourceName,
    project_id: Type.Optional(
      Type.String({
        maxLength: 64,
        description:
          'May be left out by who may create services in the project default: it is made there then.',
      }),
    ),
    ...Fields,
  },
  { ...closed, title: 'CreateServiceBody', examples: [SERVICE_EXAMPLE] },
)
export type ServiceCreate = Static<typeof ServiceCreate>

/** A whole replacement: what is left out takes its default, but for env, which has its own PUT and is then left as it is. */
export const ServiceReplace = Type.Object(
  { name: ResourceName, ...Fields },
  { ...closed, title: 'ReplaceServiceBody', examples: [SERVICE_EXAMPLE] },
)
export type ServiceReplace = Static<typeof ServiceReplace>

/** What is left out stays. Objects are merged, lists, build_args and env are replaced. */
export const ServicePatch = Type.Object(
  { name: Type.Optional(ResourceName), ...Fields },
  { ...closed, title: 'PatchServiceBody', examples: [{ health_check: { path: '/healthz' } }] },
)
export type ServicePatch = Static<typeof ServicePatch>

export const EnvPatch = Type.Object(
  {
    set: Type.Optional(EnvInput),
    unset: Type.Optional(Type.Array(Type.String({ maxLength: 255 }), { maxItems: 500 })),
  },
  { ...closed, title: 'PatchEnvBody', examples: [{ set: { GREETING: 'hello' }, unset: ['OLD_NAME'] }] },
)
export type EnvPatch = Static<typeof EnvPatch>

export const ScaleRequest = Type.Object(
  { replicas: Type.Integer({ minimum: 0, maximum: 100 }) },
  { ...closed, title: 'ScaleServiceBody', examples: [{ replicas: 2 }] },
)
