import type { Database } from '../../store/database.ts'
import type { CollectionReport } from './registry-schema.ts'

/** A blob that nothing needs. */
export interface UnusedBlob {
  digest: string
  size_bytes: number
  inline: 0 | 1
}

export interface UntaggedManifest {
  id: number
  digest: string
  size_bytes: number
}

export type CollectionStore = ReturnType<typeof createCollectionStore>

/** No manifest of any repository refers to the blob, and nobody was told of it since. */
const IS_UNUSED = `b.touched_ms < $beforeMs
  AND NOT EXISTS (SELECT 1 FROM registry_edges e WHERE e.digest = b.digest AND e.kind = 'blob')
  AND NOT EXISTS (SELECT 1 FROM registry_blob_links l WHERE l.blob_id = b.id AND l.touched_ms >= $beforeMs)`

/** No release holds the manifest, neither a tag nor an index leads to it, and what it refers to is gone. */
const IS_UNTAGGED = `m.touched_ms < $beforeMs
  AND NOT EXISTS (SELECT 1 FROM registry_pins n WHERE n.manifest_id = m.id)
  AND NOT EXISTS (SELECT 1 FROM registry_tags t WHERE t.manifest_id = m.id)
  AND NOT EXISTS (SELECT 1 FROM registry_edges e JOIN registry_manifests i ON i.id = e.manifest_id
    WHERE e.digest = m.digest AND e.kind = 'manifest' AND i.repository_id = m.repository_id)
  AND (m.subject IS NULL OR NOT EXISTS (SELECT 1 FROM registry_manifests s
    WHERE s.repository_id = m.repository_id AND s.digest = m.subject))`

/** SQL of collections. */
export function createCollectionStore(database: Database) {
  return {
    /** Unused blobs among these ids; a window at a time, because each takes a look at other tables. */
    unusedBlobs: (beforeMs: number, fromId: number, toId: number): UnusedBlob[] =>
      database.all(
        `SELECT b.digest, b.size_bytes, b.content IS NOT NULL AS inline FROM registry_blobs b
         WHERE b.id BETWEEN $fromId AND $toId AND ${IS_UNUSED} ORDER BY b.id`,
        { beforeMs, fromId, toId },
      ),

    lastBlobId: (): number =>
      database.get<{ id: number | null }>('SELECT max(id) AS id FROM registry_blobs')?.id ?? 0,

    /** Removes the blob if it is still unused; answers whether it did. */
    removeUnusedBlob: (digest: string, beforeMs: number): boolean =>
      database.run(
        `DELETE FROM registry_blobs WHERE id IN (SELECT b.id FROM registry_blobs b WHERE b.digest = $digest AND ${IS_UNUSED})`,
        { digest, beforeMs },
      ) > 0,

    /** Takes blobs of these ids from repositories whose manifests do not need them, once nobody was told of them for long. */
    removeIdleLinks: (beforeMs: number, fromId: number, toId: number): number =>
      database.run(
        `DELETE FROM registry_blob_links WHERE (repository_id, blob_id) IN (
           SELECT l.repository_id, l.blob_id FROM registry_blobs b JOIN registry_blob_links l ON l.blob_id = b.id
           WHERE b.id BETWEEN $fromId AND $toId AND l.touched_ms < $beforeMs AND NOT EXISTS (
             SELECT 1 FROM registry_edges e JOIN registry_manifests m ON m.id = e.manifest_id
             WHERE e.digest = b.digest AND e.kind = 'blob' AND m.repository_id = l.repository_id))`,
        { beforeMs, fromId, toId },
      ),

    /** The digest that ends a window of so many manifests behind `after`; undefined: there are no more than those. */
    windowEnd: (repositoryId: number, after: string, size: number): string | undefined =>
      database.get<{ digest: string }>(
        `SELECT digest FROM registry_manifests WHERE repository_id = $repositoryId AND digest > $after
         ORDER BY digest LIMIT 1 OFFSET $skipped`,
        { repositoryId, after, skipped: size - 1 },
      )?.digest,

    /** Untagged manifests behind `after`, up to `upTo` where it is given; a window at a time, as above. */
    untaggedManifests: (
      repositoryId: number,
      beforeMs: number,
      after: string,
      upTo: string | undefined,
    ): UntaggedManifest[] =>
      database.all(
        `SELECT m.id, m.digest, m.size_bytes FROM registry_manifests m
         WHERE m.repository_id = $repositoryId AND m.digest > $after AND m.digest <= $upTo AND ${IS_UNTAGGED} ORDER BY m.digest`,
        // Behind every digest.
        { repositoryId, beforeMs, after, upTo: upTo ?? '~' },
      ),

    /** Removes the manifest if it is still untagged; answers whether it did. */
    removeUntagged: (id: number, beforeMs: number): boolean =>
      database.run(
        `DELETE FROM registry_manifests WHERE id IN (SELECT m.id FROM registry_manifests m WHERE m.id = $id AND ${IS_UNTAGGED})`,
        { id, beforeMs },
      ) > 0,

    countBlobs: (): number =>
      database.get<{ count: number }>('SELECT count(*) AS count FROM registry_blobs')?.count ?? 0,

    begin: (id: string, nowMs: number): void => {
      database.run('INSERT INTO registry_collections (id, started_ms) VALUES ($id, $nowMs)', { id, nowMs })
      database.run(
        'DELETE FROM registry_collections WHERE id NOT IN (SELECT id FROM registry_collections ORDER BY id DESC LIMIT 100)',
      )
    },

    finish: (id: string, report: CollectionReport, nowMs: number): void => {
      database.run('UPDATE registry_collections SET finished_ms = $nowMs, report = $report WHERE id = $id', {
        id,
        nowMs,
        report: JSON.stringify(report),
      })
    },

    last: (): CollectionReport | undefined => {
      const row = database.get<{ report: string }>(
        'SELECT report FROM registry_collections WHERE report IS NOT NULL ORDER BY id DESC LIMIT 1',
      )
      return row && (JSON.parse(row.report) as CollectionReport)
    },
  }
}
