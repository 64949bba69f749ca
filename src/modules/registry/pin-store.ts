import type { Database } from '../../store/database.ts'

/** A manifest that a release runs from. */
export interface Pin {
  deployment_id: string
  manifest_id: number
  repository_id: number
  /** The repository's full name, as it is now. */
  repository: string
  digest: string
  /** The tag that Berth gave; null: the image is someone else's. */
  tag: string | null
}

export type PinStore = ReturnType<typeof createPinStore>

const MAX_HOLDERS = 50

/** The manifest itself and every index of its repository that leads to it. */
const LEADING_TO = `WITH RECURSIVE leading (id, digest) AS (
    SELECT id, digest FROM registry_manifests WHERE repository_id = $repositoryId AND digest = $digest
    UNION SELECT m.id, m.digest FROM leading l JOIN registry_edges e ON e.digest = l.digest AND e.kind = 'manifest'
      JOIN registry_manifests m ON m.id = e.manifest_id WHERE m.repository_id = $repositoryId)`

/** SQL of what releases hold. */
export function createPinStore(database: Database) {
  return {
    /** Has the deployment hold this manifest, and no other. */
    put: (deploymentId: string, manifestId: number, tag: string | null): void => {
      database.run(
        `INSERT INTO registry_pins (deployment_id, manifest_id, tag) VALUES ($deploymentId, $manifestId, $tag)
         ON CONFLICT DO UPDATE SET manifest_id = $manifestId, tag = $tag`,
        { deploymentId, manifestId, tag },
      )
    },

    remove: (deploymentId: string): void => {
      database.run('DELETE FROM registry_pins WHERE deployment_id = $deploymentId', { deploymentId })
    },

    find: (deploymentId: string) =>
      database.get<Pin>(
        `SELECT n.deployment_id, n.manifest_id, n.tag, m.digest, m.repository_id, p.name || '/' || r.path AS repository
         FROM registry_pins n JOIN registry_manifests m ON m.id = n.manifest_id
         JOIN registry_repositories r ON r.id = m.repository_id JOIN projects p ON p.id = r.project_id
         WHERE n.deployment_id = $deploymentId`,
        { deploymentId },
      ),

    /** Whether a release holds something of the repository under this tag, which Berth gave it. */
    holdsTag: (repositoryId: number, tag: string): boolean =>
      database.get(
        `SELECT 1 FROM registry_tags t JOIN registry_pins n ON n.manifest_id = t.manifest_id AND n.tag = t.name
         WHERE t.repository_id = $repositoryId AND t.name = $tag`,
        { repositoryId, tag },
      ) !== undefined,

    /** All deployments that hold something. */
    listHolders: (): string[] =>
      database
        .all<{ deployment_id: string }>('SELECT deployment_id FROM registry_pins')
        .map((row) => row.deployment_id),

    /** The deployments that need the manifest, or an index that leads to it. */
    holders: (repositoryId: number, digest: string): string[] =>
      database
        .all<{ deployment_id: string }>(
          `${LEADING_TO} SELECT DISTINCT n.deployment_id FROM leading JOIN registry_pins n ON n.manifest_id = leading.id
           ORDER BY n.deployment_id DESC LIMIT ${MAX_HOLDERS}`,
          { repositoryId, digest },
        )
        .map((row) => row.deployment_id),

    /** The deployments that need any manifest of the repository. */
    holdersIn: (repositoryId: number): string[] =>
      database
        .all<{ deployment_id: string }>(
          `SELECT n.deployment_id FROM registry_pins n JOIN registry_manifests m ON m.id = n.manifest_id
           WHERE m.repository_id = $repositoryId ORDER BY n.deployment_id DESC LIMIT ${MAX_HOLDERS}`,
          { repositoryId },
        )
        .map((row) => row.deployment_id),

    /** Whether the repository holds a tag that Berth did not give to a release, or a manifest that neither a tag nor an index leads to. */
    holdsOthers: (repositoryId: number): boolean =>
      database.get(
        `SELECT 1 FROM registry_tags t WHERE t.repository_id = $repositoryId AND (t.own = 0
           OR NOT EXISTS (SELECT 1 FROM registry_pins n WHERE n.manifest_id = t.manifest_id AND n.tag = t.name))
         UNION ALL SELECT 1 FROM registry_manifests m WHERE m.repository_id = $repositoryId
           AND NOT EXISTS (SELECT 1 FROM registry_tags t WHERE t.manifest_id = m.id)
           AND NOT EXISTS (SELECT 1 FROM registry_pins n WHERE n.manifest_id = m.id AND n.tag IS NOT NULL)
           AND NOT EXISTS (SELECT 1 FROM registry_edges e JOIN registry_manifests i ON i.id = e.manifest_id
             WHERE e.digest = m.digest AND e.kind = 'manifest' AND i.repository_id = m.repository_id)
         LIMIT 1`,
        { repositoryId },
      ) !== undefined,

    /** Of a manifest: whether neither release, nor tag, nor index of its repository needs it. */
    isLoose: (manifestId: number): boolean =>
      database.get(
        `SELECT 1 FROM registry_manifests m WHERE m.id = $manifestId
           AND NOT EXISTS (SELECT 1 FROM registry_pins n WHERE n.manifest_id = m.id)
           AND NOT EXISTS (SELECT 1 FROM registry_tags t WHERE t.manifest_id = m.id)
           AND NOT EXISTS (SELECT 1 FROM registry_edges e JOIN registry_manifests i ON i.id = e.manifest_id
             WHERE e.digest = m.digest AND e.kind = 'manifest' AND i.repository_id = m.repository_id)`,
        { manifestId },
      ) !== undefined,

    /** The manifests of its repository that an index lists. */
    children: (manifestId: number): number[] =>
      database
        .all<{ id: number }>(
          `SELECT c.id FROM registry_edges e JOIN registry_manifests m ON m.id = e.manifest_id
           JOIN registry_manifests c ON c.repository_id = m.repository_id AND c.digest = e.digest
           WHERE e.manifest_id = $manifestId AND e.kind = 'manifest'`,
          { manifestId },
        )
        .map((row) => row.id),
  }
}
