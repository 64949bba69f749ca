import type { Database } from '../../store/database.ts'

/** A repository with the full name that clients use. */
export interface RepositoryRow {
  id: number
  project_id: string
  name: string
  created_ms: number
  pushed_ms: number | null
}

export interface TagRow {
  name: string
  digest: string
  updated_ms: number
}

/** A tag that Berth gave and that no release holds anything by. */
export interface UnheldTag {
  repository_id: number
  project_id: string
  tag: string
}

export type RegistryStore = ReturnType<typeof createRegistryStore>

/** Begins the paths of repositories that nobody can name: what deleted services leave until they are gone. */
export const HIDDEN = '~'

const REPOSITORY = `SELECT r.id, r.project_id, p.name || '/' || r.path AS name, r.created_ms, r.pushed_ms
  FROM registry_repositories r JOIN projects p ON p.id = r.project_id`

/** SQL of repositories and tags. */
export function createRegistryStore(database: Database) {
  return {
    findProject: (name: string) =>
      database.lookUp<{ id: string }>('SELECT id FROM projects WHERE name = $name', { name })?.id,

    /** The repository of a full name. */
    find: (project: string, path: string) =>
      database.lookUp<Readonly<RepositoryRow>>(`${REPOSITORY} WHERE p.name = $project AND r.path = $path`, {
        project,
        path,
      }),

    /** The repository of this path in a project and those below it, hidden ones too. */
    listUnder: (projectId: string, path: string): { id: number; path: string }[] =>
      database.all(
        `SELECT id, path FROM registry_repositories
         WHERE project_id = $projectId AND (path = $path OR (path > $path || '/' AND path < $path || '0'))`,
        { projectId, path },
      ),

    rename: (id: number, path: string): void => {
      database.run('UPDATE registry_repositories SET path = $path WHERE id = $id', { id, path })
    },

    findById: (id: number) =>
      database.lookUp<Readonly<RepositoryRow>>(`${REPOSITORY} WHERE r.id = $id AND r.path < '${HIDDEN}'`, {
        id,
      }),

    /** Makes the repository unless it is there. */
    ensure: (projectId: string, path: string, nowMs: number): void => {
      database.run(
        `INSERT INTO registry_repositories (project_id, path, created_ms) VALUES ($projectId, $path, $nowMs)
         ON CONFLICT DO NOTHING`,
        { projectId, path, nowMs },
      )
    },

    touch: (id: number, nowMs: number): void => {
      database.run('UPDATE registry_repositories SET pushed_ms = $nowMs WHERE id = $id', { id, nowMs })
    },

    /** Removes the repository with its tags, manifests and links; answers whether it was there. */
    remove: (id: number): boolean =>
      database.run('DELETE FROM registry_repositories WHERE id = $id', { id }) > 0,

    /** Repositories behind `after` in the order of their names' bytes, of these projects. */
    list: (projects: readonly string[] | 'all', limit: number, after = ''): RepositoryRow[] =>
      database.all<RepositoryRow>(
        `SELECT * FROM (${REPOSITORY} WHERE r.path < '${HIDDEN}' AND ($projects IS NULL OR r.project_id IN (SELECT value FROM json_each($projects))))
         WHERE name > $after ORDER BY name LIMIT $limit`,
        { projects: projects === 'all' ? null : JSON.stringify(projects), limit, after },
      ),

    /** Every repository of a project; a project holds few enough. */
    listOfProject: (projectId: string): RepositoryRow[] =>
      database.all<RepositoryRow>(
        `${REPOSITORY} WHERE r.project_id = $projectId AND r.path < '${HIDDEN}' ORDER BY r.path LIMIT 10000`,
        {
          projectId,
        },
      ),

    /** Tags behind `after` in the order of their bytes. */
    listTags: (repositoryId: number, limit: number, after = ''): TagRow[] =>
      database.all<TagRow>(
        `SELECT t.name, m.digest, t.updated_ms FROM registry_tags t JOIN registry_manifests m ON m.id = t.manifest_id
         WHERE t.repository_id = $repositoryId AND t.name > $after ORDER BY t.name LIMIT $limit`,
        { repositoryId, limit, after },
      ),

    findTag: (repositoryId: number, name: string) =>
      database.get<TagRow & { own: 0 | 1 }>(
        `SELECT t.name, m.digest, t.updated_ms, t.own FROM registry_tags t JOIN registry_manifests m ON m.id = t.manifest_id
         WHERE t.repository_id = $repositoryId AND t.name = $name`,
        { repositoryId, name },
      ),

    tagsOf: (manifestId: number): string[] =>
      database
        .all<{ name: string }>(
          'SELECT name FROM registry_tags WHERE manifest_id = $manifestId ORDER BY name',
          {
            manifestId,
          },
        )
        .map((row) => row.name),

    /**
     * The tags that begin so, that Berth gave and that no release holds anything by, of the repositories whose ids are above `from` and not above `to`; undefined
     * when no repository has an id above `from`. Hidden ones are left out.
     */
    listUnheldTags: (prefix: string, from: number, to: number): UnheldTag[] | undefined => {
      if (!database.get('SELECT 1 FROM registry_repositories WHERE id > $from LIMIT 1', { from }))
        return undefined
      return database.all(
        `SELECT r.id AS repository_id, r.project_id, t.name AS tag FROM registry_repositories r
         JOIN registry_tags t ON t.repository_id = r.id AND t.name > $prefix AND t.name < $prefix || char(127) AND t.own = 1
         WHERE r.id > $from AND r.id <= $to AND r.path < '${HIDDEN}' AND NOT EXISTS (
           SELECT 1 FROM registry_pins n WHERE n.manifest_id = t.manifest_id AND n.tag = t.name)
         ORDER BY r.id, t.name`,
        { prefix, from, to },
      )
    },

    /** Makes or moves a tag; `own`: Berth gives it, for a deployment. Whoever gave it last counts. */
    setTag: (
      repositoryId: number,
      name: string,
      manifestId: number,
      { own, nowMs }: { own: boolean; nowMs: number },
    ): void => {
      database.run(
        `INSERT INTO registry_tags (repository_id, name, manifest_id, updated_ms, own)
         VALUES ($repositoryId, $name, $manifestId, $nowMs, $own)
         ON CONFLICT DO UPDATE SET manifest_id = $manifestId, updated_ms = $nowMs, own = $own`,
        { repositoryId, name, manifestId, nowMs, own: own ? 1 : 0 },
      )
    },

    /** Answers whether it was there. */
    removeTag: (repositoryId: number, name: string): boolean =>
      database.run('DELETE FROM registry_tags WHERE repository_id = $repositoryId AND name = $name', {
        repositoryId,
        name,
      }) > 0,

    /** How much a repository holds. */
    sizeOf: (id: number): { tags: number; manifests: number; size_bytes: number } =>
      database.get(
        `SELECT (SELECT count(*) FROM registry_tags WHERE repository_id = $id) AS tags,
           (SELECT count(*) FROM registry_manifests WHERE repository_id = $id) AS manifests,
           (SELECT coalesce(sum(size_bytes), 0) FROM registry_manifests WHERE repository_id = $id)
             + (SELECT coalesce(sum(b.size_bytes), 0) FROM registry_blob_links l JOIN registry_blobs b ON b.id = l.blob_id
                WHERE l.repository_id = $id) AS size_bytes`,
        { id },
      ) ?? { tags: 0, manifests: 0, size_bytes: 0 },

    count: (): number =>
      database.get<{ count: number }>(
        `SELECT count(*) AS count FROM registry_repositories WHERE path < '${HIDDEN}'`,
      )?.count ?? 0,

    /** Whether `usedBytes` has the content already: a blob of the project, or a manifest of the repository. */
    isCounted: ({ id, project_id }: Pick<RepositoryRow, 'id' | 'project_id'>, digest: string): boolean =>
      database.get(
        `SELECT 1 WHERE EXISTS (SELECT 1 FROM registry_blobs b JOIN registry_blob_links l ON l.blob_id = b.id
             JOIN registry_repositories r ON r.id = l.repository_id WHERE b.digest = $digest AND r.project_id = $project_id)
           OR EXISTS (SELECT 1 FROM registry_manifests WHERE repository_id = $id AND digest = $digest)`,
        { id, project_id, digest },
      ) !== undefined,

    /** What the manifests and the linked blobs of a project's repositories take, each once. */
    usedBytes: (projectId: string): number =>
      database.get<{ bytes: number }>(
        `SELECT coalesce((SELECT sum(size_bytes) FROM registry_blobs WHERE id IN (
             SELECT l.blob_id FROM registry_blob_links l JOIN registry_repositories r ON r.id = l.repository_id
             WHERE r.project_id = $projectId)), 0)
           + coalesce((SELECT sum(m.size_bytes) FROM registry_manifests m JOIN registry_repositories r ON r.id = m.repository_id
             WHERE r.project_id = $projectId), 0) AS bytes`,
        { projectId },
      )?.bytes ?? 0,
  }
}
