import { covers } from './certificate-pair.ts'
import type { CertificateRow } from './certificate-schema.ts'

/** A hostname that is served, and who answers for it. */
export interface ServedName {
  hostname: string
  /** Null: of the node itself. */
  project_id: string | null
  /** A certificate is to be obtained for it. */
  wanted: boolean
  /** As long as there is no other, one that the node signs itself answers to it. */
  self_signed: boolean
}

export interface CertificatePlan {
  /** Names that no row is there for yet. */
  create: ServedName[]
  /** Rows whose name is now another project's. */
  assign: { id: string; project_id: string | null }[]
  /** Rows that nothing needs. */
  remove: CertificateRow[]
}

export interface SelfSignedPlan {
  /** Names that need one, or another one. */
  make: ServedName[]
  /** Rows that nothing needs. */
  remove: CertificateRow[]
}

/**
 * The certificate that answers to each hostname: the newest uploaded one of its project before one that was obtained, and only where that is asked for and
 * neither is good one that the node signed itself. Pure.
 */
export function chooseCertificates(
  names: readonly ServedName[],
  rows: readonly CertificateRow[],
  now: string,
): Map<string, CertificateRow> {
  const uploads = uploaded(rows)
  const acme = byHostname(rows, 'acme')
  const own = byHostname(rows, 'self_signed')
  const chosen = new Map<string, CertificateRow>()
  for (const name of names) {
    const obtained = acme.get(name.hostname)
    const row =
      bestUpload(uploads, name, now) ??
      (isGood(obtained, now) ? obtained : undefined) ??
      (name.self_signed && !hasWildcard(acme, name, now) ? own.get(name.hostname) : undefined) ??
      obtained
    if (row) chosen.set(name.hostname, row)
  }
  return chosen
}

/** What has to be added and removed, so that every name that wants a certificate has a row, and no other. Pure. */
export function planCertificates(
  names: readonly ServedName[],
  rows: readonly CertificateRow[],
  now: string,
): CertificatePlan {
  const uploads = uploaded(rows)
  const wanted = new Map(
    names.flatMap((name) => (name.wanted && !bestUpload(uploads, name, now) ? [[name.hostname, name]] : [])),
  )
  const obtained = rows.filter((row) => row.source === 'acme')
  const present = new Set(obtained.map((row) => row.hostname))
  return {
    create: [...wanted.values()].filter((name) => !present.has(name.hostname)),
    assign: obtained.flatMap((row) => {
      const name = wanted.get(row.hostname)
      return name && name.project_id !== row.project_id ? [{ id: row.id, project_id: name.project_id }] : []
    }),
    remove: obtained.filter((row) => !wanted.has(row.hostname)),
  }
}

/** Which self-signed certificates have to be made, made anew and removed: every name that asks for one and has no good other. Pure. */
export function planSelfSigned(
  names: readonly ServedName[],
  rows: readonly CertificateRow[],
  now: string,
): SelfSignedPlan {
  const uploads = uploaded(rows)
  const acme = byHostname(rows, 'acme')
  const own = byHostname(rows, 'self_signed')
  const needed = new Map(
    names.flatMap((name) =>
      name.self_signed &&
      !bestUpload(uploads, name, now) &&
      !isGood(acme.get(name.hostname), now) &&
      !hasWildcard(acme, name, now)
        ? [[name.hostname, name]]
        : [],
    ),
  )
  return {
    make: [...needed.values()].flatMap((name) => {
      const row = own.get(name.hostname)
      const isDue =
        !row ||
        row.project_id !== name.project_id ||
        (row.next_attempt_at ?? '') <= now ||
        // Made while the clock was ahead: it does not hold yet.
        (row.not_before ?? '') > now
      return isDue ? [name] : []
    }),
    // Also one that has no pair any more.
    remove: rows.filter((row) => row.source === 'self_signed' && !needed.has(row.hostname)),
  }
}

function uploaded(rows: readonly CertificateRow[]): CertificateRow[] {
  return rows.filter((row) => row.source === 'upload' && row.file_id !== null)
}

function byHostname(
  rows: readonly CertificateRow[],
  source: 'acme' | 'self_signed',
): Map<string, CertificateRow> {
  return new Map(
    rows.flatMap((row) => (row.source === source && row.file_id !== null ? [[row.hostname, row]] : [])),
  )
}

function isGood(row: CertificateRow | undefined, now: string): boolean {
  return row !== undefined && (row.not_after ?? '') > now
}

/** A wildcard of the label in front was obtained: the ingress answers with it unless the name has one of its own. */
function hasWildcard(
  acme: ReadonlyMap<string, CertificateRow>,
  { hostname }: ServedName,
  now: string,
): boolean {
  return isGood(acme.get(`*${hostname.slice(hostname.indexOf('.'))}`), now)
}

/**
 * The one that was uploaded last, however long it holds: whoever replaces a certificate may have lost its key. One that does not hold yet waits
 * while there is another.
 */
function bestUpload(
  uploads: readonly CertificateRow[],
  { hostname, project_id: projectId }: ServedName,
  now: string,
): CertificateRow | undefined {
  const good = uploads.filter(
    (row) => row.project_id === projectId && isGood(row, now) && covers(row.hostnames, hostname),
  )
  const begun = good.filter((row) => (row.not_before ?? '') <= now)
  return (begun.length > 0 ? begun : good).toSorted((one, other) => (newer(one, other) ? -1 : 1))[0]
}

/** Ids rise within a millisecond too. */
function newer(one: CertificateRow, other: CertificateRow): boolean {
  return one.created_at === other.created_at ? one.id > other.id : one.created_at > other.created_at
}
