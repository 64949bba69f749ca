import type { Database, SqlParameters } from '../../store/database.ts'
import type { DeploymentRow, DeploymentState, Step, StepRow, StepState } from './deployment-schema.ts'

type StoredRow = Omit<DeploymentRow, 'source' | 'build' | 'config' | 'created_by' | 'cancel_requested'> & {
  source: string
  build: string
  config: string
  created_by: string
  cancel_requested: number
}

export type DeploymentStore = ReturnType<typeof createDeploymentStore>

/** SQL of deployments and their steps. */
export function createDeploymentStore(database: Database) {
  const read = (row: StoredRow): DeploymentRow => ({
    ...row,
    source: JSON.parse(row.source) as DeploymentRow['source'],
    build: JSON.parse(row.build) as DeploymentRow['build'],
    config: JSON.parse(row.config) as DeploymentRow['config'],
    created_by: JSON.parse(row.created_by) as DeploymentRow['created_by'],
    cancel_requested: row.cancel_requested === 1,
  })
  const rows = (sql: string, parameters: SqlParameters): DeploymentRow[] =>
    database.all<StoredRow>(sql, parameters).map(read)
  const row = (sql: string, parameters: SqlParameters): DeploymentRow | undefined => {
    const found = database.get<StoredRow>(sql, parameters)
    return found && read(found)
  }

  return {
    insert(deployment: DeploymentRow): void {
      database.run(
        `INSERT INTO deployments (id, service_id, project_id, number, status, step, source, build, config, env_sealed, image, image_id,
           reason, created_by, cancel_requested, replaces_id, revision, created_at, updated_at, finished_at)
         VALUES ($id, $service_id, $project_id, $number, $status, $step, $source, $build, $config, $env_sealed, $image, $image_id,
           $reason, $created_by, 0, NULL, 1, $created_at, $updated_at, NULL)`,
        {
          id: deployment.id,
          service_id: deployment.service_id,
          project_id: deployment.project_id,
          number: deployment.number,
          status: deployment.status,
          step: deployment.step,
          source: JSON.stringify(deployment.source),
          build: JSON.stringify(deployment.build),
          config: JSON.stringify(deployment.config),
          env_sealed: deployment.env_sealed,
          image: deployment.image,
          image_id: deployment.image_id,
          reason: deployment.reason,
          created_by: JSON.stringify(deployment.created_by),
          created_at: deployment.created_at,
          updated_at: deployment.updated_at,
        },
      )
    },

    find: (id: string) => row('SELECT * FROM deployments WHERE id = $id', { id }),

    /** The project of a deployment, for the check of access. */
    projectOf: (id: string) =>
      database.get<{ project_id: string }>('SELECT project_id FROM deployments WHERE id = $id', { id })
        ?.project_id,

    nextNumber: (serviceId: string) =>
      (database.get<{ highest: number | null }>(
        'SELECT max(number) AS highest FROM deployments WHERE service_id = $serviceId',
        {
          serviceId,
        },
      )?.highest ?? 0) + 1,

    /** Those that are not over, oldest first. */
    listOpen: () => rows('SELECT * FROM deployments WHERE step IS NOT NULL ORDER BY id', {}),

    listOpenOfService: (serviceId: string) =>
      rows('SELECT * FROM deployments WHERE step IS NOT NULL AND service_id = $serviceId ORDER BY id', {
        serviceId,
      }),

    listIdsOfService: (serviceId: string) =>
      database
        .all<{ id: string }>('SELECT id FROM deployments WHERE service_id = $serviceId', { serviceId })
        .map((found) => found.id),

    /** Newest first, those before the cursor id. */
    listByService: (serviceId: string, before: string | null, limit: number) =>
      rows(
        `SELECT * FROM deployments WHERE service_id = $serviceId AND ($before IS NULL OR id < $before) ORDER BY id DESC LIMIT $limit`,
        { serviceId, before, limit },
      ),

    /** Releases (ever healthy) older than this one, newest first. */
    findReleaseBefore: (serviceId: string, number: number) =>
      row(
        `SELECT * FROM deployments WHERE service_id = $serviceId AND number < $number AND image_id IS NOT NULL
           AND status IN ('Healthy', 'Inactive', 'Stopped') ORDER BY number DESC LIMIT 1`,
        { serviceId, number },
      ),

    /**
     * Deployments whose image may go: over, not live, beyond the newest `keep` of their service, and none of those that stay uses the
     * same image (a rollback does).
     */
    listExpiredImages: (keep: number) =>
      rows(
        `WITH ranked AS (
           SELECT d.*, s.live_deployment_id AS live_id, row_number() OVER (PARTITION BY d.service_id ORDER BY d.number DESC) AS rank
           FROM deployments AS d JOIN services AS s ON s.id = d.service_id WHERE d.image IS NOT NULL
         ), kept AS (SELECT image FROM ranked WHERE rank <= $keep OR step IS NOT NULL OR live_id IS id)
         SELECT d.* FROM deployments AS d JOIN ranked ON ranked.id = d.id
         WHERE ranked.image NOT IN (SELECT image FROM kept)`,
        { keep },
      ),

    forgetImage: (id: string) =>
      database.run('UPDATE deployments SET image = NULL, image_id = NULL WHERE id = $id', { id }),

    /** Compare-and-set on the step: false when the deployment has moved on or is over. */
    advance(id: string, from: Step, to: Step | null, status: DeploymentState, now: string): boolean {
      return (
        database.run(
          `UPDATE deployments SET step = $to, status = $status, revision = revision + 1, updated_at = $now,
             finished_at = CASE WHEN $to IS NULL THEN $now END
           WHERE id = $id AND step = $from`,
          { id, from, to, status, now },
        ) === 1
      )
    },

    /** Ends it without success; false when it was over already. */
    finish(id: string, status: DeploymentState, reason: string | null, now: string): boolean {
      return (
        database.run(
          `UPDATE deployments SET step = NULL, status = $status, reason = $reason, revision = revision + 1, updated_at = $now, finished_at = $now
           WHERE id = $id AND step IS NOT NULL`,
          { id, status, reason, now },
        ) === 1
      )
    },

    setStatus: (id: string, status: DeploymentState, now: string) =>
      database.run(
        'UPDATE deployments SET status = $status, revision = revision + 1, updated_at = $now WHERE id = $id',
        { id, status, now },
      ),

    setImage: (id: string, image: string, imageId: string, now: string) =>
      database.run(
        'UPDATE deployments SET image = $image, image_id = $imageId, updated_at = $now WHERE id = $id',
        {
          id,
          image,
          imageId,
          now,
        },
      ),

    setReplaces: (id: string, replacesId: string | null) =>
      database.run('UPDATE deployments SET replaces_id = $replacesId WHERE id = $id', { id, replacesId }),

    requestCancel: (id: string, reason: string, now: string) =>
      database.run(
        `UPDATE deployments SET cancel_requested = 1, reason = $reason, revision = revision + 1, updated_at = $now WHERE id = $id AND step IS NOT NULL`,
        { id, reason, now },
      ),

    beginStep(id: string, step: Step, now: string): void {
      database.run(
        `INSERT INTO deployment_steps (deployment_id, step, status, started_at) VALUES ($id, $step, 'running', $now)
         ON CONFLICT (deployment_id, step) DO UPDATE SET status = 'running', attempts = attempts + 1, finished_at = NULL`,
        { id, step, now },
      )
    },

    endStep: (id: string, step: Step, status: StepState, now: string) =>
      database.run(
        `UPDATE deployment_steps SET status = $status, finished_at = $now WHERE deployment_id = $id AND step = $step`,
        { id, step, status, now },
      ),

    skipStep: (id: string, step: Step, now: string) =>
      database.run(
        `INSERT OR IGNORE INTO deployment_steps (deployment_id, step, status, started_at, finished_at) VALUES ($id, $step, 'skipped', $now, $now)`,
        { id, step, now },
      ),

    listSteps: (id: string) =>
      database.all<StepRow>('SELECT * FROM deployment_steps WHERE deployment_id = $id ORDER BY started_at', {
        id,
      }),
  }
}
