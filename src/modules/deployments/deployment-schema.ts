import { type Static, Type } from 'typebox'
import { EXAMPLE_ID } from '../../http/schema.ts'
import type { ActorRecord } from '../identity/actor.ts'
import type { PullRight, ServiceBuild, ServiceConfig } from '../services/service-schema.ts'

export const DEPLOYMENT_STATES = [
  'Pending',
  'Building',
  'Starting',
  'Healthy',
  'Failed',
  'Stopped',
  'Inactive',
  'Cancelled',
] as const
export type DeploymentState = (typeof DEPLOYMENT_STATES)[number]

/** In the order in which they run. Each is recorded before it begins and can run again. */
export const STEPS = [
  'fetch',
  'build',
  'publish',
  'release_command',
  'start',
  'check',
  'route',
  'retire',
] as const
export type Step = (typeof STEPS)[number]

export const STEP_STATES = ['running', 'done', 'failed', 'skipped', 'cancelled'] as const
export type StepState = (typeof STEP_STATES)[number]

/** What a release is made from: an upload, or the image of an earlier release. Each kind has a planner and a fetcher in `sources/`. */
export type DeploymentSource =
  | { type: 'upload'; upload_id: string; sha256: string; size_bytes: number }
  | {
      type: 'git'
      repo_url: string
      git_ref: string | null
      /** The commit that was asked for, if one was; `git_ref` then only says what led to it. */
      commit: string | null
      submodules: boolean
    }
  /** With a `registry_id` the image is what follows the host of that external registry. */
  | { type: 'external_image'; image: string; registry_id: string | null; pull_right?: PullRight }
  | { type: 'redeploy' | 'rollback'; deployment_id: string; number: number }

/** What of a repository a release was built from. Null: not known. */
export interface DeploymentCommit {
  sha: string
  /** The branch or tag that led to it. */
  ref: string | null
  author: string | null
  /** The first line of the message. */
  message: string | null
}

/** Where the tag of an image led when it was looked at. */
export interface DeploymentTag {
  /** The image by its tag, in full. */
  image: string
  digest: string
}

export const TRIGGERS = ['user', 'webhook', 'push', 'auto'] as const

/** What made someone ask for a deployment: `push` is one to Berth's own registry, `auto` is Berth itself. */
export interface DeploymentTrigger {
  kind: (typeof TRIGGERS)[number]
  /** Of the delivery or event. */
  id?: string
}

/** The variables of a deployment, sealed: up to megabytes, so that only what opens them reads them. */
export interface SealedEnv {
  env_sealed: string | null
  /** What of it came from a file in the source. */
  file_env_sealed: string | null
}

/** A row of `deployments` with its JSON columns read. */
export interface DeploymentRow {
  id: string
  service_id: string
  project_id: string
  number: number
  status: DeploymentState
  step: Step | null
  source: DeploymentSource
  build: ServiceBuild
  config: ServiceConfig
  /** Names of variables that only the project set. */
  inherited_names: string[]
  image: string | null
  image_id: string | null
  /** Of the image's manifest, in Berth's registry or in the one that it came from. */
  digest: string | null
  commit: DeploymentCommit | null
  /** Of a redeployment of an image. */
  tag: DeploymentTag | null
  trigger: DeploymentTrigger
  reason: string | null
  created_by: ActorRecord
  /** The share of the requests, 1 to 99, that it begins with beside the live release; null: it becomes the live one. */
  canary_percent: number | null
  cancel_requested: boolean
  replaces_id: string | null
  /** When it began to stop the live release before it starts its own replicas. */
  stop_first_at: string | null
  /** When it became live. */
  routed_at: string | null
  revision: number
  created_at: string
  updated_at: string
  finished_at: string | null
}

export interface StepRow {
  deployment_id: string
  step: Step
  status: StepState
  attempts: number
  started_at: string
  finished_at: string | null
}

const Uuid = Type.String({ format: 'uuid' })
const RelativePath = Type.String({ minLength: 1, maxLength: 1024 })

export const DeploymentRequest = Type.Object(
  {
    service_id: Uuid,
    override_freeze: Type.Optional(
      Type.Boolean({ description: 'Deploy although deployments are frozen; for super-admins only.' }),
    ),
    canary_percent: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 99,
        description:
          'Run it beside the live release for so many percent of the requests, until it is promoted or ended.',
      }),
    ),
    source: Type.Union([
      Type.Object(
        {
          type: Type.Literal('upload'),
          upload_id: Uuid,
          dockerfile_path: Type.Optional(RelativePath),
          context_path: Type.Optional(RelativePath),
        },
        { additionalProperties: false },
      ),
      Type.Object({ type: Type.Literal('redeploy') }, { additionalProperties: false }),
      Type.Object(
        { type: Type.Literal('rollback'), deployment_id: Type.Optional(Uuid) },
        { additionalProperties: false },
      ),
      Type.Object(
        {
          type: Type.Literal('git'),
          git_ref: Type.Optional(
            Type.String({
              maxLength: 255,
              description: "A branch, a tag, a commit or refs/...; default: the service's.",
            }),
          ),
          commit: Type.Optional(
            Type.String({
              pattern: '^([0-9a-f]{40}|[0-9a-f]{64})$',
              description: 'This very commit, whatever git_ref leads to by then.',
            }),
          ),
        },
        { additionalProperties: false },
      ),
      Type.Object(
        {
          type: Type.Literal('external_image'),
          image: Type.Optional(
            Type.String({ minLength: 1, maxLength: 512, description: "In full; default: the service's." }),
          ),
        },
        { additionalProperties: false },
      ),
    ]),
  },
  {
    additionalProperties: false,
    title: 'CreateDeploymentBody',
    examples: [{ service_id: EXAMPLE_ID, source: { type: 'upload', upload_id: EXAMPLE_ID } }],
  },
)
export type DeploymentRequest = Static<typeof DeploymentRequest>

export const RollbackRequest = Type.Object(
  { deployment_id: Type.Optional(Uuid) },
  { additionalProperties: false, title: 'RollbackServiceBody' },
)

export const StepView = Type.Object(
  {
    step: Type.Enum(STEPS),
    status: Type.Enum(STEP_STATES),
    attempts: Type.Integer(),
    started_at: Type.String(),
    finished_at: Type.Union([Type.String(), Type.Null()]),
    duration_ms: Type.Union([Type.Integer(), Type.Null()]),
  },
  { title: 'DeploymentStep' },
)

export const DeploymentView = Type.Object(
  {
    id: Uuid,
    service_id: Uuid,
    project_id: Uuid,
    number: Type.Integer({ description: 'Counts the deployments of the service from 1.' }),
    status: Type.Enum(DEPLOYMENT_STATES),
    step: Type.Union([Type.Enum(STEPS), Type.Null()], {
      description: 'What is under way or next; null when it is over.',
    }),
    reason: Type.Union([Type.String(), Type.Null()], { description: 'Why it failed or was cancelled.' }),
    source: Type.Object({
      type: Type.String(),
      upload_id: Type.Optional(Type.String()),
      sha256: Type.Optional(Type.String()),
      size_bytes: Type.Optional(Type.Integer()),
      repo_url: Type.Optional(Type.String()),
      git_ref: Type.Optional(Type.Union([Type.String(), Type.Null()])),
      commit: Type.Optional(
        Type.Union([Type.String(), Type.Null()], { description: 'The commit that was asked for.' }),
      ),
      submodules: Type.Optional(Type.Boolean()),
      image: Type.Optional(Type.String()),
      registry_id: Type.Optional(Type.Union([Type.String(), Type.Null()])),
      deployment_id: Type.Optional(Type.String()),
      number: Type.Optional(Type.Integer()),
    }),
    artifact: Type.Union([
      Type.Object({
        image: Type.String(),
        digest: Type.String({
          description: "Of the image's manifest; the image id in the engine when it is in no registry.",
        }),
      }),
      Type.Null(),
    ]),
    commit: Type.Union([
      Type.Object({
        sha: Type.String(),
        ref: Type.Union([Type.String(), Type.Null()]),
        author: Type.Union([Type.String(), Type.Null()]),
        message: Type.Union([Type.String(), Type.Null()]),
      }),
      Type.Null(),
    ]),
    tag: Type.Union(
      [
        Type.Object({
          image: Type.String(),
          digest: Type.String({ description: 'Where it led when this deployment began.' }),
          moved: Type.Boolean({
            description:
              'That is not the image of this deployment: deploy the image, not the release, to take it.',
          }),
        }),
        Type.Null(),
      ],
      {
        description: 'Of a redeployment of an image by its tag; null when it was not looked at, or in vain.',
      },
    ),
    trigger: Type.Object({ kind: Type.Enum(TRIGGERS), id: Type.Optional(Type.String()) }),
    created_by: Type.Object({
      kind: Type.String(),
      user_id: Type.Union([Type.String(), Type.Null()]),
      token_id: Type.Union([Type.String(), Type.Null()]),
      name: Type.String(),
    }),
    canary_percent: Type.Union([Type.Integer(), Type.Null()], {
      description:
        'The share of the requests that it began with as a canary; null: it was to become live. What holds now stands on the service.',
    }),
    live: Type.Boolean({ description: 'Whether it is what the service runs now.' }),
    url: Type.Union([Type.String(), Type.Null()], {
      description: 'Where its service answers; null when that listens on no port.',
    }),
    steps: Type.Array(StepView),
    created_at: Type.String(),
    updated_at: Type.String(),
    routed_at: Type.Union([Type.String(), Type.Null()], { description: 'When it became live.' }),
    finished_at: Type.Union([Type.String(), Type.Null()]),
  },
  { title: 'Deployment' },
)
export type DeploymentView = Static<typeof DeploymentView>
