import { latestStart } from '../../lib/not-before.ts'
import { type Page, type PageRequest, pageOf } from '../../lib/page.ts'
import type { Database, SqlParameters } from '../../store/database.ts'
import { type DomainRow, LONGEST_PAUSES_MS } from './domain-schema.ts'

type StoredRow = Omit<DomainRow, 'self_signed'> & { self_signed: 0 | 1 }

export type DomainStore = ReturnType<typeof createDomainStore>

/** SQL of domains. */
export function createDomainStore(database: Database) {
  const all = (sql: string, parameters: SqlParameters = {}): DomainRow[] =>
    database.all<StoredRow>(sql, parameters).map(read)
  const first = (sql: string, parameters: SqlParameters): DomainRow | undefined => {
    const row = database.get<StoredRow>(sql, parameters)
    return row && read(row)
  }

  return {
    /** Adds a claim; the caller has made sure that the service has none for the name. */
    insert: (domain: DomainRow): void => {
      database.run(
        `INSERT INTO domains (id, project_id, service_id, hostname, status, token, reason_code, reason, checked_at,
           next_check_at, failures, verified_at, failing_since, expires_at, self_signed, revision, created_at, updated_at)
         VALUES ($id, $project_id, $service_id, $hostname, $status, $token, $reason_code, $reason, $checked_at,
           $next_check_at, $failures, $verified_at, $failing_since, $expires_at, $self_signed, $revision, $created_at, $updated_at)`,
        write(domain),
      )
    },

    /** Replaces what a check or its owner changes, if nobody changed the row since it was read; false when someone did. */
    update: (domain: DomainRow): boolean => {
      const {
        hostname: _,
        project_id: _p,
        service_id: _s,
        token: _t,
        created_at: _c,
        ...changed
      } = write(domain)
      return (
        database.run(
          `UPDATE domains SET status = $status, reason_code = $reason_code, reason = $reason, checked_at = $checked_at,
             next_check_at = $next_check_at, failures = $failures, verified_at = $verified_at,
             failing_since = $failing_since, expires_at = $expires_at, self_signed = $self_signed, updated_at = $updated_at,
             revision = revision + 1
           WHERE id = $id AND revision = $revision`,
          changed,
        ) === 1
      )
    },

    /** Removes a claim. */
    remove: (id: string): void => {
      database.run('DELETE FROM domains WHERE id = $id', { id })
    },

    /** Removes all claims of a service and answers what they were. */
    removeOfService: (serviceId: string): DomainRow[] =>
      all('DELETE FROM domains WHERE service_id = $serviceId RETURNING *', { serviceId }),

    /** The domain of this id. */
    find: (id: string) => first('SELECT * FROM domains WHERE id = $id', { id }),

    /** The claim of a service to a hostname. */
    findOfService: (serviceId: string, hostname: string) =>
      first('SELECT * FROM domains WHERE service_id = $serviceId AND hostname = $hostname', {
        serviceId,
        hostname,
      }),

    /** The domain that has proven this hostname. */
    findVerified: (hostname: string) =>
      first("SELECT * FROM domains WHERE hostname = $hostname AND status = 'verified'", {
        hostname,
      }),

    /** The claim with this token. */
    findByToken: (token: string) => first('SELECT * FROM domains WHERE token = $token', { token }),

    /** Domains of a service, newest first. */
    list: (serviceId: string, page: PageRequest): Page<DomainRow> =>
      pageOf(
        all(
          `SELECT * FROM domains WHERE service_id = $serviceId AND ($after IS NULL OR id < $after)
           ORDER BY id DESC LIMIT $limit`,
          { serviceId, after: page.after ?? null, limit: page.limit + 1 },
        ),
        page.limit,
        (row) => row.id,
      ),

    /** The hostnames of a service, in their order; `verified`: only those that are proven. */
    hostnamesOf: (serviceId: string, which: 'all' | 'verified'): string[] =>
      database
        .all<{ hostname: string }>(
          `SELECT hostname FROM domains
           WHERE service_id = $serviceId AND ($which = 'all' OR status = 'verified') ORDER BY hostname`,
          { serviceId, which },
        )
        .map(({ hostname }) => hostname),

    /** The hostnames that a project claims, proven or not. */
    hostnamesOfProject: (projectId: string): string[] =>
      database
        .all<{ hostname: string }>('SELECT DISTINCT hostname FROM domains WHERE project_id = $projectId', {
          projectId,
        })
        .map(({ hostname }) => hostname),

    /** Everything that is proven, for certificates. */
    listVerified: (): DomainRow[] => all("SELECT * FROM domains WHERE status = 'verified' ORDER BY hostname"),

    /** Hostname and token of every claim, for whoever answers the challenges. */
    listTokens: (): { hostname: string; token: string }[] =>
      database.all<{ hostname: string; token: string }>(
        "SELECT hostname, token FROM domains WHERE hostname NOT LIKE '*%' ORDER BY id",
      ),

    /** Claims whose next check is due: the projects in turn, of each the longest waiting first. */
    listDue: (now: string, limit: number): DomainRow[] =>
      all(
        `SELECT * FROM domains
         WHERE next_check_at <= $now OR next_check_at >
           CASE WHEN status <> 'verified' THEN $claim WHEN hostname LIKE '*%' THEN $wildcard ELSE $verified END
         ORDER BY row_number() OVER (PARTITION BY project_id ORDER BY next_check_at), next_check_at LIMIT $limit`,
        {
          now,
          claim: latestStart(now, LONGEST_PAUSES_MS.claim * 1.25),
          verified: latestStart(now, LONGEST_PAUSES_MS.verified * 1.25),
          wildcard: latestStart(now, LONGEST_PAUSES_MS.wildcard * 1.25),
          limit,
        },
      ),

    /** Claims that were not proven in time. */
    listExpired: (now: string, limit: number): DomainRow[] =>
      all('SELECT * FROM domains WHERE expires_at IS NOT NULL AND expires_at <= $now LIMIT $limit', {
        now,
        limit,
      }),

    /** How many claims a service has. */
    countOfService: (serviceId: string): number =>
      database.get<{ count: number }>('SELECT count(*) AS count FROM domains WHERE service_id = $serviceId', {
        serviceId,
      })?.count ?? 0,
  }
}

function read(row: StoredRow): DomainRow {
  return { ...row, self_signed: row.self_signed === 1 }
}

function write(domain: DomainRow): StoredRow & SqlParameters {
  return { ...domain, self_signed: domain.self_signed ? 1 : 0 }
}
