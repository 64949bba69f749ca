import { type Static, Type } from 'typebox'
import { Instant, nullable, strictObject } from '../../http/schema.ts'

const Pattern = Type.String({ minLength: 1, maxLength: 200, description: '`*` stands for any characters' })
const Digest = Type.String({ description: 'algorithm:hex' })

export const RepositoryRule = strictObject({
  repositories: Type.String({
    minLength: 1,
    maxLength: 200,
    description: 'Which repositories of the project, without its name; `*` stands for any characters',
  }),
  immutable_tags: Type.Optional(
    Type.Array(Pattern, {
      maxItems: 50,
      description: 'Tags that may be made once and never moved or deleted',
    }),
  ),
  retain: Type.Optional(
    strictObject({
      tags: Type.Array(Pattern, { minItems: 1, maxItems: 50, description: 'Which tags may go' }),
      keep_last: Type.Optional(
        Type.Integer({ minimum: 0, maximum: 10_000, description: 'Newest ones that stay' }),
      ),
      keep_days: Type.Optional(Type.Integer({ minimum: 0, maximum: 3650, description: 'Younger ones stay' })),
    }),
  ),
  keep_untagged_days: Type.Optional(
    Type.Integer({ minimum: 0, maximum: 3650, description: 'Manifests without a tag go after this time' }),
  ),
})
export type RepositoryRule = Static<typeof RepositoryRule>

export const RegistryRulesBody = strictObject({
  quota_bytes: nullable(
    Type.Integer({
      minimum: 0,
      description: 'What the project may hold; null: anything. Always sent, because all rules are replaced.',
    }),
  ),
  rules: Type.Array(RepositoryRule, { maxItems: 100 }),
})
export type RegistryRulesBody = Static<typeof RegistryRulesBody>

export const RegistryRulesView = Type.Object({
  ...RegistryRulesBody.properties,
  used_bytes: Type.Integer(),
})
export type RegistryRulesView = Static<typeof RegistryRulesView>

export const RepositoryView = Type.Object({
  name: Type.String({ description: '<project>/<service>, the name to push to and pull from' }),
  project_id: Type.String(),
  tags: Type.Integer(),
  manifests: Type.Integer(),
  size_bytes: Type.Integer({
    description: 'Of its blobs and manifests; what other repositories share is counted too',
  }),
  created_at: Instant,
  pushed_at: nullable(Instant),
})
export type RepositoryView = Static<typeof RepositoryView>

export const TagView = Type.Object({
  name: Type.String(),
  digest: Digest,
  media_type: Type.String(),
  size_bytes: Type.Integer({ description: 'Of the manifest and the blobs that it names itself' }),
  updated_at: Instant,
})
export type TagView = Static<typeof TagView>

export const ManifestView = Type.Object({
  digest: Digest,
  media_type: Type.String(),
  artifact_type: nullable(Type.String()),
  subject: nullable(Digest),
  size_bytes: Type.Integer({ description: 'Of the manifest and the blobs that it names itself' }),
  tags: Type.Array(Type.String()),
  created_at: Instant,
})
export type ManifestView = Static<typeof ManifestView>

export const CollectionReport = Type.Object({
  dry_run: Type.Boolean(),
  started_at: Instant,
  duration_ms: Type.Integer(),
  scanned_blobs: Type.Integer(),
  deleted_blobs: Type.Integer(),
  deleted_manifests: Type.Integer(),
  deleted_tags: Type.Integer(),
  expired_uploads: Type.Integer(),
  removed_files: Type.Integer({ description: 'Left behind by a crash' }),
  freed_bytes: Type.Integer(),
  problems: Type.Array(Type.String(), { description: 'What was skipped, and why' }),
})
export type CollectionReport = Static<typeof CollectionReport>

export const RegistryStatusView = Type.Object({
  repositories: Type.Integer(),
  manifests: Type.Integer(),
  blobs: Type.Integer(),
  size_bytes: Type.Integer(),
  corrupt_blobs: Type.Integer(),
  open_uploads: Type.Integer(),
  disk_free_bytes: Type.Integer(),
  disk_total_bytes: Type.Integer(),
  last_collection: nullable(CollectionReport),
})
export type RegistryStatusView = Static<typeof RegistryStatusView>
