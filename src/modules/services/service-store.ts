import { type Page, type PageRequest, pageOf } from '../../lib/page.ts'
import type { Database, SqlParameters } from '../../store/database.ts'
import {
  type DesiredState,
  readBuild,
  readConfig,
  type ServiceRow,
  type ServiceSummary,
} from './service-schema.ts'

type Stored<Row extends ServiceSummary> = Omit<
  Row,
  'source' | 'build' | 'config' | 'routing' | 'autoscale'
> & {
  source: string
  build: string
  config: string
  routing: string
  autoscale: string | null
}
type StoredRow = Stored<ServiceRow>

const SUMMARY = `id, project_id, name, source, build, config, routing, replicas, autoscale, desired_state, live_deployment_id, canary_deployment_id,
  canary_percent, revision, created_at, updated_at`

export interface ServiceFilter {
  /** Only services of these projects. */
  projects: readonly string[] | 'all'
}

export type ServiceStore = ReturnType<typeof createServiceStore>

/** SQL of services. What is being deleted is found by `findAny` and `listDeleting` only. */
export function createServiceStore(database: Database) {
  const one = (sql: string, parameters: SqlParameters): ServiceRow | undefined => {
    const row = database.get<StoredRow>(sql, parameters)
    return row && read(row)
  }

  return {
    /** Adds a service; the caller has made sure that the name is free. */
    insert: (service: ServiceRow): void => {
      database.run(
        `INSERT INTO services (id, project_id, name, source, build, config, routing, env_sealed, replicas, autoscale, desired_state,
           live_deployment_id, canary_deployment_id, canary_percent, revision, created_at, updated_at)
         VALUES ($id, $project_id, $name, $source, $build, $config, $routing, $env_sealed, $replicas, $autoscale, $desired_state,
           $live_deployment_id, $canary_deployment_id, $canary_percent, $revision, $created_at, $updated_at)`,
        write(service),
      )
    },

    /** Replaces what a caller may change and counts the revision up. */
    update: (service: ServiceRow): void => {
      const {
        id,
        name,
        source,
        build,
        config,
        routing,
        env_sealed,
        replicas,
        autoscale,
        desired_state,
        updated_at,
      } = write(service)
      database.run(
        `UPDATE services SET name = $name, source = $source, build = $build, config = $config, routing = $routing, env_sealed = $env_sealed,
           replicas = $replicas, autoscale = $autoscale, desired_state = $desired_state, updated_at = $updated_at, revision = revision + 1
         WHERE id = $id`,
        {
          id,
          name,
          source,
          build,
          config,
          routing,
          env_sealed,
          replicas,
          autoscale,
          desired_state,
          updated_at,
        },
      )
    },

    /** Sets which release is live. Not a change by a caller: the revision stays. */
    setLive: (id: string, deploymentId: string | null, now: string): void => {
      database.run(
        'UPDATE services SET live_deployment_id = $deploymentId, updated_at = $now WHERE id = $id',
        {
          id,
          deploymentId,
          now,
        },
      )
    },

    /** Sets which release runs beside the live one, and its share; null: none. Not a change by a caller: the revision stays. */
    setCanary: (id: string, canary: { deployment_id: string; percent: number } | null, now: string): void => {
      database.run(
        `UPDATE services SET canary_deployment_id = $deploymentId, canary_percent = $percent, updated_at = $now WHERE id = $id`,
        { id, deploymentId: canary?.deployment_id ?? null, percent: canary?.percent ?? null, now },
      )
    },

    /** Sets how many replicas ought to run. Not a change by a caller: the revision stays. */
    setReplicas: (id: string, replicas: number, now: string): void => {
      database.run('UPDATE services SET replicas = $replicas, updated_at = $now WHERE id = $id', {
        id,
        replicas,
        now,
      })
    },

    /** Those whose number of replicas Berth chooses, and that ought to run. */
    listAutoscaled: (): ServiceSummary[] =>
      database
        .all<Stored<ServiceSummary>>(
          `SELECT ${SUMMARY} FROM services WHERE autoscale IS NOT NULL AND desired_state = 'running' ORDER BY id`,
        )
        .map((row) => read(row)),

    /** Sets whether replicas ought to run. Not a change by a caller: the revision stays. */
    setDesiredState: (id: string, state: DesiredState, now: string): void => {
      database.run('UPDATE services SET desired_state = $state, updated_at = $now WHERE id = $id', {
        id,
        state,
        now,
      })
    },

    /** Removes the row and with it uploads, deployments and replicas: the last step of a deletion. */
    remove: (id: string): void => {
      database.run('DELETE FROM services WHERE id = $id', { id })
    },

    /** The service of this id unless it is being deleted. */
    find: (id: string) =>
      one("SELECT * FROM services WHERE id = $id AND desired_state <> 'deleting'", { id }),

    /** The service of this id, also while it is being deleted. */
    findAny: (id: string) => one('SELECT * FROM services WHERE id = $id', { id }),

    /** The service of this name in a project. */
    findByName: (projectId: string, name: string) =>
      one('SELECT * FROM services WHERE project_id = $projectId AND name = $name', { projectId, name }),

    /** The project of a service, for the check of access. */
    projectOf: (id: string): string | undefined =>
      database.get<{ project_id: string }>(
        "SELECT project_id FROM services WHERE id = $id AND desired_state <> 'deleting'",
        { id },
      )?.project_id,

    /** Services, newest first. */
    list: (filter: ServiceFilter, page: PageRequest): Page<ServiceSummary> => {
      const projects = filter.projects === 'all' ? null : JSON.stringify(filter.projects)
      const rows = database.all<Stored<ServiceSummary>>(
        `SELECT ${SUMMARY} FROM services
         WHERE desired_state <> 'deleting' AND ($projects IS NULL OR project_id IN (SELECT value FROM json_each($projects)))
           AND ($after IS NULL OR id < $after)
         ORDER BY id DESC LIMIT $limit`,
        { projects, after: page.after ?? null, limit: page.limit + 1 },
      )
      return pageOf(
        rows.map((row) => read(row)),
        page.limit,
        (row) => row.id,
      )
    },

    /** The sealed variables of a service; null when there are none. */
    sealedEnvOf: (id: string): string | null =>
      database.get<{ env_sealed: string | null }>('SELECT env_sealed FROM services WHERE id = $id', { id })
        ?.env_sealed ?? null,

    /** All services that are not being deleted, oldest first, for the workers. */
    listAll: (): ServiceSummary[] =>
      database
        .all<Stored<ServiceSummary>>(
          `SELECT ${SUMMARY} FROM services WHERE desired_state <> 'deleting' ORDER BY id`,
        )
        .map((row) => read(row)),

    /** The services that are being deleted, oldest first, for the worker that removes what they left. */
    listDeleting: (): ServiceSummary[] =>
      database
        .all<Stored<ServiceSummary>>(
          `SELECT ${SUMMARY} FROM services WHERE desired_state = 'deleting' ORDER BY id`,
        )
        .map((row) => read(row)),

    /** The services whose source is in an external registry, by name. */
    listUsingRegistry: (registryId: string): string[] =>
      database
        .all<{ name: string }>(
          `SELECT name FROM services WHERE json_extract(source, '$.registry_id') = $registryId AND desired_state <> 'deleting'
           ORDER BY name LIMIT 50`,
          { registryId },
        )
        .map(({ name }) => name),

    /** How many services a project has, with those that are being deleted. */
    countByProject: (projectId: string): number =>
      database.get<{ count: number }>(
        'SELECT count(*) AS count FROM services WHERE project_id = $projectId',
        {
          projectId,
        },
      )?.count ?? 0,

    /** How long what the other services of a project say of their requests is, as it is stored. */
    routingLengthBeside: (projectId: string, id: string): number =>
      database.get<{ length: number | null }>(
        `SELECT sum(length(routing)) AS length FROM services
         WHERE project_id = $projectId AND id <> $id AND desired_state <> 'deleting'`,
        { projectId, id },
      )?.length ?? 0,

    /** What a project holds, one line for people each, at most `limit`. */
    describeContents: (projectId: string, limit = 100): string[] =>
      database
        .all<{ name: string; desired_state: DesiredState }>(
          'SELECT name, desired_state FROM services WHERE project_id = $projectId ORDER BY name LIMIT $limit',
          { projectId, limit },
        )
        .map((row) =>
          row.desired_state === 'deleting' ? 'a service that is still being removed' : `service ${row.name}`,
        ),
  }
}

function read<Row extends ServiceSummary>(row: Stored<Row>): Row {
  return {
    ...row,
    source: JSON.parse(row.source) as ServiceRow['source'],
    build: readBuild(row.build),
    config: readConfig(row.config),
    routing: JSON.parse(row.routing) as ServiceRow['routing'],
    autoscale: row.autoscale === null ? null : (JSON.parse(row.autoscale) as ServiceRow['autoscale']),
  } as unknown as Row
}

function write(row: ServiceRow): StoredRow & SqlParameters {
  return {
    ...row,
    source: JSON.stringify(row.source),
    build: JSON.stringify(row.build),
    config: JSON.stringify(row.config),
    routing: JSON.stringify(row.routing),
    autoscale: row.autoscale === null ? null : JSON.stringify(row.autoscale),
  }
}
