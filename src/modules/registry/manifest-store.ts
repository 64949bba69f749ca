import type { Database } from '../../store/database.ts'
import type { Edge } from './manifest-document.ts'

/** A manifest as stored, without its bytes. */
export interface ManifestRow {
  id: number
  repository_id: number
  digest: string
  media_type: string
  size_bytes: number
  subject: string | null
  artifact_type: string | null
  annotations: string | null
  created_ms: number
  touched_ms: number
}

export type NewManifest = Omit<ManifestRow, 'id' | 'created_ms' | 'touched_ms'> & { content: Buffer }

export type ManifestStore = ReturnType<typeof createManifestStore>

const COLUMNS =
  'm.id, m.repository_id, m.digest, m.media_type, m.size_bytes, m.subject, m.artifact_type, m.annotations, m.created_ms, m.touched_ms'
/** What a pull needs. */
const SHORT = 'm.id, m.digest, m.media_type, m.size_bytes, m.touched_ms'

export type ManifestHead = Readonly<
  Pick<ManifestRow, 'id' | 'digest' | 'media_type' | 'size_bytes' | 'touched_ms'>
>

/** A manifest that refers to another. */
export type ReferrerRow = Pick<
  ManifestRow,
  'id' | 'digest' | 'media_type' | 'size_bytes' | 'artifact_type'
> & {
  annotation_bytes: number | null
}

/** SQL of manifests and of what they refer to. */
export function createManifestStore(database: Database) {
  return {
    findByDigest: (repositoryId: number, digest: string) =>
      database.lookUp<ManifestHead>(
        `SELECT ${SHORT} FROM registry_manifests m WHERE m.repository_id = $repositoryId AND m.digest = $digest`,
        { repositoryId, digest },
      ),

    findByTag: (repositoryId: number, tag: string) =>
      database.lookUp<ManifestHead>(
        `SELECT ${SHORT} FROM registry_tags t JOIN registry_manifests m ON m.id = t.manifest_id
         WHERE t.repository_id = $repositoryId AND t.name = $tag`,
        { repositoryId, tag },
      ),

    content: (id: number): Buffer | undefined =>
      database.get<{ content: Buffer }>('SELECT content FROM registry_manifests WHERE id = $id', { id })
        ?.content,

    /** Adds the manifest, or makes its age begin anew; answers its id. */
    put: (manifest: NewManifest, edges: readonly Edge[], nowMs: number): number => {
      const { media_type, artifact_type, subject, annotations } = manifest
      const parameters = { ...manifest, nowMs }
      const added = database.run(
        `INSERT INTO registry_manifests (repository_id, digest, media_type, size_bytes, subject, artifact_type, annotations,
           created_ms, touched_ms, content)
         VALUES ($repository_id, $digest, $media_type, $size_bytes, $subject, $artifact_type, $annotations, $nowMs, $nowMs, $content)
         ON CONFLICT DO NOTHING`,
        parameters,
      )
      const row = database.get<{ id: number }>(
        'SELECT id FROM registry_manifests WHERE repository_id = $repository_id AND digest = $digest',
        { repository_id: manifest.repository_id, digest: manifest.digest },
      )
      const id = row?.id ?? 0
      if (added === 0) {
        // The same bytes may be pushed under another type (a list as an index).
        database.run(
          `UPDATE registry_manifests SET touched_ms = $nowMs, media_type = $media_type, artifact_type = $artifact_type, subject = $subject,
             annotations = $annotations WHERE id = $id`,
          { id, nowMs, media_type, artifact_type, subject, annotations },
        )
        // What it referred to as the other type stays as well: somebody may have pulled it as that.
      }
      for (const { digest, kind, size_bytes } of edges) {
        database.run(
          `INSERT INTO registry_edges (manifest_id, digest, kind, size_bytes) VALUES ($id, $digest, $kind, $size_bytes)
           ON CONFLICT DO NOTHING`,
          { id, digest, kind, size_bytes },
        )
      }
      return id
    },

    touch: (id: number, nowMs: number): void => {
      database.run('UPDATE registry_manifests SET touched_ms = $nowMs WHERE id = $id', { id, nowMs })
    },

    remove: (id: number): void => {
      database.run('DELETE FROM registry_manifests WHERE id = $id', { id })
    },

    /** An index of the repository that lists the manifest. */
    indexWith: (repositoryId: number, digest: string) =>
      database.get<{ digest: string }>(
        `SELECT m.digest FROM registry_edges e JOIN registry_manifests m ON m.id = e.manifest_id
         WHERE e.digest = $digest AND e.kind = 'manifest' AND m.repository_id = $repositoryId LIMIT 1`,
        { repositoryId, digest },
      )?.digest,

    /** What refers to the subject, in the order of digests, behind `after`. Annotations may be megabytes: here is only how long they are. */
    referrers: (repositoryId: number, subject: string, limit: number, after = ''): ReferrerRow[] =>
      database.all<ReferrerRow>(
        `SELECT m.id, m.digest, m.media_type, m.size_bytes, m.artifact_type, octet_length(m.annotations) AS annotation_bytes
         FROM registry_manifests m
         WHERE m.repository_id = $repositoryId AND m.subject = $subject AND m.digest > $after ORDER BY m.digest LIMIT $limit`,
        { repositoryId, subject, limit, after },
      ),

    /** As JSON. */
    annotations: (id: number): string | null =>
      database.get<{ annotations: string | null }>(
        'SELECT annotations FROM registry_manifests WHERE id = $id',
        { id },
      )?.annotations ?? null,

    /** Manifests of a repository, newest first; `before` is an id. */
    list: (repositoryId: number, limit: number, before: number | null): ManifestRow[] =>
      database.all(
        `SELECT ${COLUMNS} FROM registry_manifests m
         WHERE m.repository_id = $repositoryId AND ($before IS NULL OR m.id < $before) ORDER BY m.id DESC LIMIT $limit`,
        { repositoryId, limit, before },
      ),

    /** A manifest with what its blobs take. */
    imageBytes: (repositoryId: number, digest: string) =>
      database.get<{ media_type: string; image_bytes: number }>(
        `SELECT m.media_type, m.size_bytes + coalesce((SELECT sum(size_bytes) FROM registry_edges e
             WHERE e.manifest_id = m.id AND e.kind = 'blob'), 0) AS image_bytes
         FROM registry_manifests m WHERE m.repository_id = $repositoryId AND m.digest = $digest`,
        { repositoryId, digest },
      ),

    count: (): number =>
      database.get<{ count: number }>('SELECT count(*) AS count FROM registry_manifests')?.count ?? 0,
  }
}
