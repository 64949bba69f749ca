import type { Database } from '../../store/database.ts'

/** A blob as stored, without its bytes. */
export interface BlobRow {
  id: number
  digest: string
  size_bytes: number
  /** 1: the bytes are in the database, 0: in a file. */
  inline: 0 | 1
  stamp: string | null
  corrupt: 0 | 1
  touched_ms: number
}

export interface NewBlob {
  digest: string
  size_bytes: number
  content: Buffer | null
  stamp: string | null
}

export type BlobStore = ReturnType<typeof createBlobStore>

const COLUMNS = 'b.id, b.digest, b.size_bytes, b.content IS NOT NULL AS inline, b.stamp, b.corrupt'

/** SQL of blobs and of their links to repositories. */
export function createBlobStore(database: Database) {
  return {
    find: (digest: string) =>
      database.get<BlobRow>(
        `SELECT ${COLUMNS}, b.touched_ms FROM registry_blobs b WHERE b.digest = $digest`,
        {
          digest,
        },
      ),

    /** The blob, if the repository has it; `touched_ms` is that of the link. */
    findIn: (repositoryId: number, digest: string) =>
      database.lookUp<Readonly<BlobRow>>(
        `SELECT ${COLUMNS}, l.touched_ms FROM registry_blobs b
         JOIN registry_blob_links l ON l.blob_id = b.id AND l.repository_id = $repositoryId WHERE b.digest = $digest`,
        { repositoryId, digest },
      ),

    content: (digest: string) =>
      database.get<{ content: Buffer | null }>('SELECT content FROM registry_blobs WHERE digest = $digest', {
        digest,
      })?.content ?? undefined,

    /** Adds the blob, or puts good bytes in the place of damaged ones; a whole one stays as it is. */
    put: (blob: NewBlob, nowMs: number): void => {
      database.run(
        `INSERT INTO registry_blobs (digest, size_bytes, content, stamp, touched_ms, checked_ms)
         VALUES ($digest, $size_bytes, $content, $stamp, $nowMs, $nowMs)
         ON CONFLICT DO UPDATE SET content = $content, stamp = $stamp, corrupt = 0, checked_ms = $nowMs, touched_ms = $nowMs`,
        { ...blob, nowMs },
      )
    },

    /** Gives the repository the blob, and counts its age from now; answers false when there is no such blob. */
    link: (repositoryId: number, digest: string, nowMs: number): boolean => {
      database.run('UPDATE registry_blobs SET touched_ms = $nowMs WHERE digest = $digest', { digest, nowMs })
      return (
        database.run(
          `INSERT INTO registry_blob_links (repository_id, blob_id, touched_ms)
           SELECT $repositoryId, id, $nowMs FROM registry_blobs WHERE digest = $digest AND corrupt = 0
           ON CONFLICT DO UPDATE SET touched_ms = $nowMs`,
          { repositoryId, digest, nowMs },
        ) > 0
      )
    },

    /** Takes the blob from the repository; the blob itself goes with the next collection that finds it unused. */
    unlink: (repositoryId: number, blobId: number): void => {
      database.run(
        'DELETE FROM registry_blob_links WHERE repository_id = $repositoryId AND blob_id = $blobId',
        { repositoryId, blobId },
      )
    },

    /** Which of these digests the repository lacks or has only damaged. */
    missingFrom: (repositoryId: number, digests: readonly string[]): string[] =>
      database
        .all<{ digest: string }>(
          `SELECT value AS digest FROM json_each($digests) WHERE NOT EXISTS (
             SELECT 1 FROM registry_blobs b JOIN registry_blob_links l ON l.blob_id = b.id AND l.repository_id = $repositoryId
             WHERE b.digest = value AND b.corrupt = 0)`,
          { repositoryId, digests: JSON.stringify(digests) },
        )
        .map((row) => row.digest),

    /** A repository of these that has the blob. */
    repositoryWith: (digest: string, projects: readonly string[] | 'all') =>
      database.get<{ id: number }>(
        `SELECT r.id FROM registry_repositories r JOIN registry_blob_links l ON l.repository_id = r.id
         JOIN registry_blobs b ON b.id = l.blob_id
         WHERE b.digest = $digest AND b.corrupt = 0
           AND ($projects IS NULL OR r.project_id IN (SELECT value FROM json_each($projects))) LIMIT 1`,
        { digest, projects: projects === 'all' ? null : JSON.stringify(projects) },
      )?.id,

    /** The first manifest of the repository that needs the blob. */
    manifestNeeding: (repositoryId: number, digest: string) =>
      database.get<{ digest: string }>(
        `SELECT m.digest FROM registry_edges e JOIN registry_manifests m ON m.id = e.manifest_id
         WHERE e.digest = $digest AND e.kind = 'blob' AND m.repository_id = $repositoryId LIMIT 1`,
        { repositoryId, digest },
      )?.digest,

    setStamp: (digest: string, stamp: string, nowMs: number): void => {
      database.run(
        'UPDATE registry_blobs SET stamp = $stamp, checked_ms = $nowMs, corrupt = 0 WHERE digest = $digest',
        { digest, stamp, nowMs },
      )
    },

    setChecked: (digest: string, nowMs: number): void => {
      database.run('UPDATE registry_blobs SET checked_ms = $nowMs WHERE digest = $digest', { digest, nowMs })
    },

    setCorrupt: (digest: string): void => {
      database.run('UPDATE registry_blobs SET corrupt = 1, stamp = NULL WHERE digest = $digest', { digest })
    },

    /** Whole blobs that were last looked at before `beforeMs`, the longest unseen first. */
    dueForCheck: (beforeMs: number, limit: number): BlobRow[] =>
      database.all<BlobRow>(
        `SELECT ${COLUMNS}, b.touched_ms FROM registry_blobs b WHERE b.corrupt = 0 AND b.checked_ms < $beforeMs
         ORDER BY b.checked_ms LIMIT $limit`,
        { beforeMs, limit },
      ),

    totals: () =>
      database.get<{ blobs: number; bytes: number; corrupt: number }>(
        'SELECT count(*) AS blobs, coalesce(sum(size_bytes), 0) AS bytes, coalesce(sum(corrupt), 0) AS corrupt FROM registry_blobs',
      ) ?? { blobs: 0, bytes: 0, corrupt: 0 },
  }
}
