import { type Static, Type } from 'typebox'
import { EXAMPLE_ID, Id, IdInPath, Instant, nullable, strictObject } from '../../http/schema.ts'
import type { ActorRecord } from '../identity/actor.ts'

export const PROVIDERS = ['github', 'gitlab', 'gitea'] as const
export type Provider = (typeof PROVIDERS)[number]

/** What a push event says, whoever sent it. */
export interface Push {
  /** The whole name. */
  ref: string
  /** Null when the ref was deleted. */
  commit: string | null
  /** `owner/name`, with groups where the forge has them. */
  repository: string
  default_branch: string | null
  author: string | null
  /** Of the newest commit, in full up to a limit: markers may stand anywhere in it. */
  message: string | null
  /** Files that were added, changed or removed; null when the event does not tell all of them. */
  paths: string[] | null
}

export const OUTCOMES = ['pending', 'deployed', 'skipped', 'failed'] as const
export type Outcome = (typeof OUTCOMES)[number]

/** Which pushes are deployed. Column `filter`. */
export interface PushFilter {
  /** Patterns of branches; null: the branch that the service deploys. */
  branches: string[] | null
  /** Patterns of tags; none: pushes of tags are skipped. */
  tags: string[]
  /** Patterns of changed files; `!` excludes. None: any. */
  paths: string[]
  /** Whether a marker such as [skip ci] in the newest commit's message is obeyed. */
  skip_markers: boolean
}

export const DEFAULT_FILTER: PushFilter = { branches: null, tags: [], paths: [], skip_markers: true }

const Patterns = (description: string, maxItems = 50) =>
  Type.Array(Type.String({ minLength: 1, maxLength: 255, pattern: '^\\P{Cc}+$' }), { maxItems, description })

const FilterFields = {
  branches: Type.Optional(
    nullable(
      Patterns(
        'Branches that are deployed, such as main or release/*; null (the default): the one that the service deploys.',
      ),
    ),
  ),
  tags: Type.Optional(Patterns('Tags that are deployed, such as v*; none by default.')),
  paths: Type.Optional(
    Patterns(
      'Deploys only when a file was added, changed or removed that matches, such as web/** or !docs/**.',
      100,
    ),
  ),
  skip_markers: Type.Optional(
    Type.Boolean({
      description: 'Whether [skip ci], [skip deploy] and their like are obeyed. Default true.',
    }),
  ),
}

const Secret = Type.String({
  minLength: 16,
  maxLength: 200,
  pattern: '^[\\x21-\\x7e]+$',
  description: 'A secret of your own; left out, one is made.',
})
const Name = Type.String({ minLength: 1, maxLength: 100, pattern: '^\\P{Cc}+$' })

export const WebhookCreate = strictObject(
  {
    name: Type.Optional(Name),
    enabled: Type.Optional(Type.Boolean()),
    secret: Type.Optional(Secret),
    ...FilterFields,
  },
  { title: 'CreateWebhookBody', examples: [{ branches: ['main'], paths: ['web/**'] }] },
)
export type WebhookCreate = Static<typeof WebhookCreate>

export const WebhookPatch = strictObject(
  { name: Type.Optional(Name), enabled: Type.Optional(Type.Boolean()), ...FilterFields },
  { title: 'PatchWebhookBody', examples: [{ enabled: false }] },
)
export type WebhookPatch = Static<typeof WebhookPatch>

export const RotateWebhookSecret = strictObject(
  { secret: Type.Optional(Secret) },
  { title: 'RotateWebhookSecretBody', examples: [{}] },
)
export type RotateWebhookSecret = Static<typeof RotateWebhookSecret>

const view = {
  id: Id,
  service_id: Id,
  name: Type.String(),
  enabled: Type.Boolean(),
  branches: nullable(Type.Array(Type.String())),
  tags: Type.Array(Type.String()),
  paths: Type.Array(Type.String()),
  skip_markers: Type.Boolean(),
  path: Type.String({ description: "Where the forge sends to, on this API's address." }),
  url: nullable(
    Type.String({
      description:
        'The same under the control domain; null when the node has none: then it is `path` under whatever address of this API the forge reaches.',
    }),
  ),
  created_by: Type.Object({ kind: Type.String(), name: Type.String() }),
  created_at: Instant,
  updated_at: Instant,
}

export const WebhookView = Type.Object(view, { title: 'Webhook' })
export type WebhookView = Static<typeof WebhookView> & { revision: number }

export const WebhookWithSecret = Type.Object(
  { ...view, secret: Type.String({ description: 'Shown this once.' }) },
  { title: 'WebhookWithSecret' },
)
export type WebhookWithSecret = Static<typeof WebhookWithSecret> & { revision: number }

/** A row of `webhooks`. */
export interface WebhookRow {
  id: string
  service_id: string
  name: string
  enabled: boolean
  filter: PushFilter
  /** A sealed document with one name, `secret`. */
  secret_sealed: string
  created_by: ActorRecord
  revision: number
  created_at: string
  updated_at: string
}

/** A row of `webhook_deliveries`. */
export interface DeliveryRow {
  id: string
  webhook_id: string
  delivery_key: string
  provider: Provider
  event: string
  push: Push | null
  outcome: Outcome
  reason: string | null
  deployment_id: string | null
  replays_id: string | null
  /** How often it was acted on and met an error that may pass. */
  tries: number
  received_at: string
  finished_at: string | null
}

export const DeliveryView = Type.Object(
  {
    id: Id,
    webhook_id: Id,
    delivery_key: Type.String({ description: 'As the forge counts it.' }),
    provider: Type.Enum(PROVIDERS),
    event: Type.String(),
    ref: nullable(Type.String()),
    commit: nullable(Type.String()),
    author: nullable(Type.String()),
    message: nullable(Type.String({ description: 'First line of the newest commit.' })),
    outcome: Type.Enum(OUTCOMES),
    reason: nullable(Type.String({ description: 'Why it was skipped or failed.' })),
    deployment_id: nullable(Id),
    replays_id: nullable(Id),
    received_at: Instant,
    finished_at: nullable(Instant),
  },
  { title: 'WebhookDelivery' },
)
export type DeliveryView = Static<typeof DeliveryView>

export const DeliveryReceipt = Type.Object(
  {
    id: Id,
    outcome: Type.Enum(OUTCOMES),
    reason: nullable(Type.String()),
    duplicate: Type.Boolean({ description: 'It had arrived before; nothing was done again.' }),
  },
  {
    title: 'WebhookReceipt',
    examples: [{ id: EXAMPLE_ID, outcome: 'pending', reason: null, duplicate: false }],
  },
)
export type DeliveryReceipt = Static<typeof DeliveryReceipt>

export const WebhookParams = strictObject({ id: IdInPath, webhook_id: IdInPath })
export const DeliveryParams = strictObject({ id: IdInPath, webhook_id: IdInPath, delivery_id: IdInPath })
export const HookParams = strictObject({ webhook_id: IdInPath })
