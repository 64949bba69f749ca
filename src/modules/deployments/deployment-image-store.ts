import type { Database } from '../../store/database.ts'

export type DeploymentImageStore = ReturnType<typeof createDeploymentImageStore>

/** SQL of the images that deployments have. */
export function createDeploymentImageStore(database: Database) {
  return {
    /**
     * Gives up the images of releases that are not kept any more: neither live, nor a canary, nor under way, nor among the `keep` newest images of other
     * releases of their service, nor the image that was built last, from whose layers the next build starts. Releases that were only canaries are
     * counted by themselves: however many were tried, none takes the place of a release that was live.
     */
    forgetExpiredImages: (keep: number) =>
      database.run(
        `WITH releases AS (
           SELECT service_id, image, max(number) AS newest, min(canary_percent IS NOT NULL) AS is_canary FROM deployments
           WHERE image IS NOT NULL AND status IN ('Healthy', 'Inactive', 'Stopped') GROUP BY service_id, image
         ), live AS (
           SELECT deployments.image FROM deployments JOIN services
             ON deployments.id IN (services.live_deployment_id, services.canary_deployment_id)
         ), ranked AS (
           SELECT image, row_number() OVER (PARTITION BY service_id, is_canary ORDER BY newest DESC) AS place FROM releases
           WHERE image NOT IN (SELECT image FROM live WHERE image IS NOT NULL)
         ), built_last AS (
           SELECT image, max(number) FROM deployments WHERE image IS NOT NULL GROUP BY service_id
         ), kept AS (
           SELECT image FROM ranked WHERE place <= $keep UNION SELECT image FROM live UNION SELECT image FROM built_last
           UNION SELECT image FROM deployments WHERE step IS NOT NULL
         )
         UPDATE deployments SET image = NULL, image_id = NULL
         WHERE image NOT IN (SELECT image FROM kept WHERE image IS NOT NULL)`,
        { keep },
      ),

    /** Of these deployments, those that are over and have given up their image. */
    listWithoutImage: (ids: readonly string[]): string[] =>
      database
        .all<{ id: string }>(
          'SELECT id FROM deployments WHERE id IN (SELECT value FROM json_each($ids)) AND image IS NULL AND step IS NULL',
          { ids: JSON.stringify(ids) },
        )
        .map(({ id }) => id),

    /** Whether there is a deployment of a project with this number and end of its id, and it is over. */
    isOver: (projectId: string, number: number, idEnd: string): boolean =>
      database.get(
        `SELECT 1 FROM deployments WHERE service_id IN (SELECT id FROM services WHERE project_id = $projectId) AND number = $number
           AND substr(id, -length($idEnd)) = $idEnd AND step IS NULL`,
        { projectId, number, idEnd },
      ) !== undefined,

    /** What the engine knows all images by that a release or a deployment under way has. */
    listImages: (): string[] =>
      database
        .all<{ image: string }>('SELECT DISTINCT image FROM deployments WHERE image IS NOT NULL', {})
        .map(({ image }) => image),

    /** Records which image it is to be, once. */
    setDigest: (id: string, digest: string) =>
      database.run('UPDATE deployments SET digest = $digest WHERE id = $id AND digest IS NULL', {
        id,
        digest,
      }),

    /**
     * The digest of what was last deployed for a push of a service's tag, also when that failed; before there was a push, of the image that was
     * deployed last.
     */
    findPushed: (serviceId: string): string | undefined =>
      database.get<{ digest: string | null }>(
        `SELECT CASE WHEN json_extract("trigger", '$.kind') = 'push' THEN json_extract("trigger", '$.id') ELSE digest END AS digest
         FROM deployments WHERE service_id = $serviceId
           AND (json_extract("trigger", '$.kind') = 'push' OR json_extract(source, '$.type') = 'external_image')
         ORDER BY json_extract("trigger", '$.kind') = 'push' DESC, number DESC LIMIT 1`,
        { serviceId },
      )?.digest ?? undefined,
  }
}
