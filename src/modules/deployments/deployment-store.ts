import type { Database, SqlParameters } from '../../store/database.ts'
import { readDeployment, type StoredDeployment, writeDeployment } from './deployment-row-schema.ts'
import {
  type DeploymentCommit,
  type DeploymentRow,
  type DeploymentState,
  type DeploymentTag,
  type SealedEnv,
  type Step,
  type StepRow,
  STEPS,
  type StepState,
} from './deployment-schema.ts'

export type DeploymentStore = ReturnType<typeof createDeploymentStore>

/** SQL of deployments and their steps. */
export function createDeploymentStore(database: Database) {
  const rows = (sql: string, parameters: SqlParameters): DeploymentRow[] =>
    database.all<StoredDeployment>(sql, parameters).map(readDeployment)
  const row = (sql: string, parameters: SqlParameters): DeploymentRow | undefined => {
    const found = database.get<StoredDeployment>(sql, parameters)
    return found && readDeployment(found)
  }

  const setEnv = (id: string, { env_sealed, file_env_sealed }: SealedEnv): void => {
    database.run(
      `INSERT INTO deployment_env (deployment_id, env_sealed, file_env_sealed) VALUES ($id, $env_sealed, $file_env_sealed)
       ON CONFLICT (deployment_id) DO UPDATE SET env_sealed = $env_sealed, file_env_sealed = $file_env_sealed`,
      { id, env_sealed, file_env_sealed },
    )
  }

  return {
    /** Adds a deployment with its variables, inside the caller's transaction. */
    insert(deployment: DeploymentRow, env: SealedEnv): void {
      database.run(
        `INSERT INTO deployments (id, service_id, project_id, number, status, step, source, build, config, inherited_names, image, image_id,
           digest, "commit", "trigger", reason, created_by, canary_percent, cancel_requested, replaces_id, routed_at, revision, created_at, updated_at,
           finished_at)
         VALUES ($id, $service_id, $project_id, $number, $status, $step, $source, $build, $config, $inherited_names, $image, $image_id,
           $digest, $commit, $trigger, $reason, $created_by, $canary_percent, 0, NULL, NULL, 1, $created_at, $updated_at, NULL)`,
        writeDeployment(deployment),
      )
      if (env.env_sealed !== null || env.file_env_sealed !== null) setEnv(deployment.id, env)
    },

    find: (id: string) => row('SELECT * FROM deployments WHERE id = $id', { id }),

    /** Whether its release command is what it does now, so that the container of that command is needed. */
    isInReleaseCommand: (id: string): boolean =>
      database.get("SELECT 1 FROM deployments WHERE id = $id AND step = 'release_command'", { id }) !==
      undefined,

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

    /** The releases that are live, of all services. */
    listLive: () =>
      rows(
        `SELECT deployments.* FROM deployments JOIN services ON services.live_deployment_id = deployments.id`,
        {},
      ),

    /** The releases that run beside a live one, of all services. */
    listCanaries: () =>
      rows(
        `SELECT deployments.* FROM deployments JOIN services ON services.canary_deployment_id = deployments.id`,
        {},
      ),

    /** The last deployments of those services that have no release yet, where they failed. */
    listFirstFailures: (serviceIds: readonly string[]) =>
      database.all<{ service_id: string; number: number; reason: string | null }>(
        `SELECT last.service_id, last.number, last.reason FROM services
           JOIN deployments AS last ON last.service_id = services.id
             AND last.id = (SELECT max(id) FROM deployments WHERE service_id = services.id)
         WHERE services.live_deployment_id IS NULL AND last.status = 'Failed'
           AND services.id IN (SELECT value FROM json_each($ids))`,
        { ids: JSON.stringify(serviceIds) },
      ),

    listOpenOfService: (serviceId: string) =>
      rows('SELECT * FROM deployments WHERE step IS NOT NULL AND service_id = $serviceId ORDER BY id', {
        serviceId,
      }),

    /** The releases of a service that run, are being deployed, or come back when what has replaced them fails. */
    listInUse: (serviceId: string) =>
      rows(
        `SELECT * FROM deployments WHERE service_id = $serviceId AND (step IS NOT NULL OR id IN (
           SELECT live_deployment_id FROM services WHERE id = $serviceId
           UNION SELECT canary_deployment_id FROM services WHERE id = $serviceId
           UNION SELECT replaces_id FROM deployments WHERE service_id = $serviceId AND step IS NOT NULL))
         ORDER BY id`,
        { serviceId },
      ),

    /** Whether another deployment of the service is not over. */
    hasOtherOpen: (serviceId: string, id: string): boolean =>
      database.get(
        'SELECT 1 FROM deployments WHERE step IS NOT NULL AND service_id = $serviceId AND id <> $id LIMIT 1',
        { serviceId, id },
      ) !== undefined,

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

    /** The newest release (ever healthy) older than this one; one that was only a canary is none to go back to. */
    findReleaseBefore: (serviceId: string, number: number) =>
      row(
        `SELECT * FROM deployments WHERE service_id = $serviceId AND number < $number AND image_id IS NOT NULL
           AND canary_percent IS NULL AND status IN ('Healthy', 'Inactive', 'Stopped') ORDER BY number DESC LIMIT 1`,
        { serviceId, number },
      ),

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

    /** Ends one that has run, also when its last step was not over yet. */
    end: (id: string, status: DeploymentState, reason: string, now: string) =>
      database.run(
        `UPDATE deployments SET step = NULL, status = $status, reason = $reason, revision = revision + 1, updated_at = $now,
           finished_at = coalesce(finished_at, $now)
         WHERE id = $id`,
        { id, status, reason, now },
      ),

    setStatus: (id: string, status: DeploymentState, now: string) =>
      database.run(
        'UPDATE deployments SET status = $status, revision = revision + 1, updated_at = $now WHERE id = $id',
        { id, status, now },
      ),

    /** Records what was built or found; a digest that is known already stays unless there is a new one. */
    setArtifact: (
      id: string,
      { image, image_id, digest }: { image: string; image_id: string; digest?: string },
      now: string,
    ) =>
      database.run(
        `UPDATE deployments SET image = $image, image_id = $image_id, digest = coalesce($digest, digest), updated_at = $now
         WHERE id = $id`,
        { id, image, image_id, digest: digest ?? null, now },
      ),

    /** Records the variables with those of a file in the source, and those of the file by themselves. */
    setFileEnv: setEnv,

    /** The variables of a deployment, for what opens them. */
    sealedEnvOf: (id: string): SealedEnv =>
      database.get<SealedEnv>(
        'SELECT env_sealed, file_env_sealed FROM deployment_env WHERE deployment_id = $id',
        { id },
      ) ?? { env_sealed: null, file_env_sealed: null },

    setCommit: (id: string, commit: DeploymentCommit) =>
      database.run('UPDATE deployments SET "commit" = $commit WHERE id = $id', {
        id,
        commit: JSON.stringify(commit),
      }),

    setTag: (id: string, tag: DeploymentTag) =>
      database.run('UPDATE deployments SET tag = $tag WHERE id = $id', { id, tag: JSON.stringify(tag) }),

    /** Records that it begins to stop the live release first; repeating it changes nothing. */
    setStopFirst: (id: string, now: string) =>
      database.run(
        'UPDATE deployments SET stop_first_at = $now WHERE id = $id AND step IS NOT NULL AND stop_first_at IS NULL',
        { id, now },
      ),

    /** Whether a deployment that is under way has begun to stop this release of its service. */
    isTakenOver: (serviceId: string, liveId: string): boolean =>
      database.get(
        `SELECT 1 FROM deployments WHERE service_id = $serviceId AND step IS NOT NULL AND stop_first_at IS NOT NULL AND id <> $liveId`,
        { serviceId, liveId },
      ) !== undefined,

    /** Records that it became live instead of the release `replacesId`. */
    setRouted: (id: string, replacesId: string | null, now: string) =>
      database.run('UPDATE deployments SET replaces_id = $replacesId, routed_at = $now WHERE id = $id', {
        id,
        replacesId,
        now,
      }),

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

    /** Which steps of a deployment there is nothing to do in. */
    listSkipped: (id: string): Step[] =>
      database
        .all<{ step: Step }>(
          "SELECT step FROM deployment_steps WHERE deployment_id = $id AND status = 'skipped'",
          { id },
        )
        .map(({ step }) => step),

    /** The steps of these deployments, each deployment's in the order in which they run. */
    listSteps: (ids: readonly string[]): StepRow[] =>
      database
        .all<StepRow>(
          'SELECT * FROM deployment_steps WHERE deployment_id IN (SELECT value FROM json_each($ids))',
          { ids: JSON.stringify(ids) },
        )
        .toSorted((one, other) => STEPS.indexOf(one.step) - STEPS.indexOf(other.step)),
  }
}
