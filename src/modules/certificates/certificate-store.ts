import { latestStart } from '../../lib/not-before.ts'
import { type Page, type PageRequest, pageOf } from '../../lib/page.ts'
import type { Database, SqlParameters, SqlValue } from '../../store/database.ts'
import {
  type CertificateRow,
  LONGEST_INFO_PAUSE_MS,
  LONGEST_RETRY_MS,
  MAX_RETRY_AFTER_MS,
  type OrderChallenge,
} from './certificate-schema.ts'

type StoredRow = Omit<CertificateRow, 'hostnames' | 'challenge'> & {
  hostnames: string
  challenge: string | null
}

/** What changes of a row; what it is for does not. */
export type CertificateChange = Partial<
  Omit<CertificateRow, 'id' | 'source' | 'hostname' | 'revision' | 'created_at'>
>

/** A row that names no certificate any more. */
export const NO_PAIR = {
  file_id: null,
  issuer: null,
  serial: null,
  fingerprint: null,
  not_before: null,
  not_after: null,
  next_info_at: null,
} as const satisfies CertificateChange

export interface AccountRow {
  directory_url: string
  key_sealed: string
  account_url: string | null
  created_at: string
}

export type CertificateStore = ReturnType<typeof createCertificateStore>

/** SQL of certificates and of the accounts that obtain them. */
export function createCertificateStore(database: Database) {
  const all = (sql: string, parameters: SqlParameters = {}): CertificateRow[] =>
    database.all<StoredRow>(sql, parameters).map(read)

  return {
    /** Adds a certificate, or the wish for one. */
    insert: (row: CertificateRow): void => {
      database.run(
        `INSERT INTO certificates (id, project_id, source, hostname, hostnames, file_id, issuer, serial, fingerprint,
           not_before, not_after, stage, step, order_url, order_key_sealed, challenge, failures, last_error, last_error_at,
           next_attempt_at, retry_after, next_info_at, revision, created_at, updated_at)
         VALUES ($id, $project_id, $source, $hostname, $hostnames, $file_id, $issuer, $serial, $fingerprint,
           $not_before, $not_after, $stage, $step, $order_url, $order_key_sealed, $challenge, $failures, $last_error,
           $last_error_at, $next_attempt_at, $retry_after, $next_info_at, $revision, $created_at, $updated_at)`,
        write(row),
      )
    },

    /** Changes some columns and counts the revision up; false when the row is gone. */
    change: (id: string, change: CertificateChange): boolean => {
      const { hostnames, challenge, ...plain } = change
      const columns: Record<string, SqlValue> = {
        ...plain,
        ...(hostnames && { hostnames: JSON.stringify(hostnames) }),
        ...(challenge !== undefined && { challenge: challenge && JSON.stringify(challenge) }),
      }
      const settings = Object.keys(columns).map((name) => `${name} = $${name}`)
      return (
        database.run(
          `UPDATE certificates SET ${settings.join(', ')}, revision = revision + 1 WHERE id = $id`,
          { ...columns, id },
        ) === 1
      )
    },

    /** Removes a row; its file is swept afterwards. */
    remove: (id: string): void => {
      database.run('DELETE FROM certificates WHERE id = $id', { id })
    },

    /** The certificate of this id. */
    find: (id: string): CertificateRow | undefined =>
      all('SELECT * FROM certificates WHERE id = $id', { id })[0],

    /** The certificate that the node made itself for a hostname. */
    findSelfSigned: (hostname: string): CertificateRow | undefined =>
      all("SELECT * FROM certificates WHERE hostname = $hostname AND source = 'self_signed'", {
        hostname,
      })[0],

    /** Whether the node has made any itself. */
    hasSelfSigned: (): boolean =>
      database.get("SELECT 1 AS one FROM certificates WHERE source = 'self_signed' LIMIT 1") !== undefined,

    /** Every certificate, oldest first, for the workers. */
    listAll: (): CertificateRow[] => all('SELECT * FROM certificates ORDER BY id'),

    /** The files that are in use. */
    listFileIds: (): Set<string> =>
      new Set(
        database
          .all<{ file_id: string }>('SELECT file_id FROM certificates WHERE file_id IS NOT NULL')
          .map((row) => row.file_id),
      ),

    /** Certificates that a caller may see, newest first. */
    list: (
      filter: { projects: readonly string[] | 'all'; node: boolean },
      page: PageRequest,
    ): Page<CertificateRow> =>
      pageOf(
        all(
          `SELECT * FROM certificates
           WHERE CASE WHEN project_id IS NULL THEN $node = 1
                 ELSE $projects IS NULL OR project_id IN (SELECT value FROM json_each($projects)) END
             AND ($after IS NULL OR id < $after)
           ORDER BY id DESC LIMIT $limit`,
          {
            projects: filter.projects === 'all' ? null : JSON.stringify(filter.projects),
            node: filter.node ? 1 : 0,
            after: page.after ?? null,
            limit: page.limit + 1,
          },
        ),
        page.limit,
        (row) => row.id,
      ),

    /** Certificates that are due to be obtained, tried again or renewed: the projects in turn, of each the longest waiting first. */
    listDue: (now: string, limit: number): CertificateRow[] =>
      all(
        `SELECT * FROM certificates
         WHERE source = 'acme' AND (next_attempt_at <= $now OR ((failures > 0 OR file_id IS NULL)
           AND next_attempt_at > CASE WHEN retry_after IS NULL THEN $latest ELSE $latestAsked END))
         ORDER BY row_number() OVER (PARTITION BY project_id ORDER BY next_attempt_at), next_attempt_at LIMIT $limit`,
        {
          now,
          latest: latestStart(now, LONGEST_RETRY_MS * 1.1),
          latestAsked: latestStart(now, MAX_RETRY_AFTER_MS),
          limit,
        },
      ),

    /** Certificates whose authority is to be asked how urgent a renewal is, in the same order. */
    listInfoDue: (now: string, limit: number): CertificateRow[] =>
      all(
        `SELECT * FROM certificates WHERE next_info_at <= $now OR next_info_at > $latest
         ORDER BY row_number() OVER (PARTITION BY project_id ORDER BY next_info_at), next_info_at LIMIT $limit`,
        { now, latest: latestStart(now, LONGEST_INFO_PAUSE_MS), limit },
      ),

    /** How many uploaded certificates a project has; null: the node. */
    countUploads: (projectId: string | null): number =>
      database.get<{ count: number }>(
        "SELECT count(*) AS count FROM certificates WHERE source = 'upload' AND project_id IS $projectId",
        { projectId },
      )?.count ?? 0,

    /** The proofs of orders that are being checked. */
    listChallenges: (): { hostname: string; challenge: OrderChallenge }[] =>
      all('SELECT * FROM certificates WHERE challenge IS NOT NULL ORDER BY id').flatMap(
        ({ hostname, challenge }) => (challenge ? [{ hostname, challenge }] : []),
      ),

    /** The account at a directory. */
    findAccount: (directoryUrl: string) =>
      database.get<AccountRow>('SELECT * FROM acme_accounts WHERE directory_url = $directoryUrl', {
        directoryUrl,
      }),

    /** Keeps the key of an account before the account is made; the first key stays. */
    insertAccount: (account: AccountRow): void => {
      database.run(
        `INSERT OR IGNORE INTO acme_accounts (directory_url, key_sealed, account_url, created_at)
         VALUES ($directory_url, $key_sealed, $account_url, $created_at)`,
        { ...account },
      )
    },

    /** Keeps the account's URL. */
    setAccountUrl: (directoryUrl: string, accountUrl: string | null): void => {
      database.run('UPDATE acme_accounts SET account_url = $accountUrl WHERE directory_url = $directoryUrl', {
        directoryUrl,
        accountUrl,
      })
    },
  }
}

function read(row: StoredRow): CertificateRow {
  return {
    ...row,
    hostnames: JSON.parse(row.hostnames) as string[],
    challenge: row.challenge === null ? null : (JSON.parse(row.challenge) as OrderChallenge),
  }
}

function write(row: CertificateRow): StoredRow & SqlParameters {
  return {
    ...row,
    hostnames: JSON.stringify(row.hostnames),
    challenge: row.challenge && JSON.stringify(row.challenge),
  }
}
