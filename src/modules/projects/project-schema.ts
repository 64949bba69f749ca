import { type Static, Type } from 'typebox'
import { Id, Instant, strictObject } from '../../http/schema.ts'
import { EnvInput, EnvView } from '../secrets/env-schema.ts'
import { type ResourceLimits, ResourceLimitsInput, ResourceLimitsView } from './resource-limits-schema.ts'

/** Names of projects and services: each is a DNS label (RFC 1123) and a segment of a repository path. */
export const ResourceName = Type.String({
  pattern: '^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$',
  examples: ['shop'],
  description: 'Lower-case letters, digits and inner hyphens, at most 40 characters.',
})

const Description = Type.String({ maxLength: 1000 })

export const ProjectCreate = strictObject(
  {
    name: ResourceName,
    description: Type.Optional(Description),
    shared_env: Type.Optional(EnvInput),
    default_resource_limits: Type.Optional(ResourceLimitsInput),
  },
  { title: 'CreateProjectBody' },
)
export type ProjectCreate = Static<typeof ProjectCreate>

/** A replacement: what is left out takes its default, but for `name` and `shared_env`, which then stay as they are. */
export const ProjectReplace = strictObject(
  {
    name: Type.Optional(ResourceName),
    description: Type.Optional(Description),
    shared_env: Type.Optional(EnvInput),
    default_resource_limits: Type.Optional(ResourceLimitsInput),
  },
  { title: 'ReplaceProjectBody', examples: [{ description: 'What we sell' }] },
)
export type ProjectReplace = Static<typeof ProjectReplace>

export const ProjectView = Type.Object(
  {
    id: Id,
    name: Type.String(),
    description: Type.String(),
    shared_env: EnvView,
    default_resource_limits: ResourceLimitsView,
    created_at: Instant,
    updated_at: Instant,
  },
  { title: 'Project' },
)
/** What is answered; the revision becomes the ETag. */
export type ProjectView = Static<typeof ProjectView> & { revision: number }

/** A project without its variables, which may be large: what lists are made of. */
export type ProjectSummary = Omit<ProjectRow, 'shared_env_sealed'>

/** A row of `projects` with its JSON columns read. */
export interface ProjectRow {
  id: string
  name: string
  description: string
  /** A sealed document; null: no variables. */
  shared_env_sealed: string | null
  default_resource_limits: ResourceLimits | null
  revision: number
  created_at: string
  updated_at: string
}
