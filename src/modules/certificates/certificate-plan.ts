import { covers } from './certificate-pair.ts'
import type { CertificateRow } from './certificate-schema.ts'

/** A hostname that is served, and who answers for it. */
export interface ServedName {
  hostname: string
  /** Null: of the node itself. */
  project_id: string | null
  /** A certificate is to be obtained for it. */
  wanted: boolean
}

export interface CertificatePlan {
  /** Names that no row is there for yet. */
  create: ServedName[]
  /** Rows whose name is now another project's. */
  assign: { id: string; project_id: string | null }[]
  /** Rows that nothing needs. */
  remove: CertificateRow[]
}

/** The certificate that answers to each hostname: an uploaded one of its project before one that was obtained. Pure. */
export function chooseCertificates(
  names: readonly ServedName[],
  rows: readonly CertificateRow[],
  now: string,
): Map<string, CertificateRow> {
  const acme = new Map(
    rows.flatMap((row) => (row.source === 'acme' && row.file_id ? [[row.hostname, row]] : [])),
  )
  const uploads = rows.filter((row) => row.source === 'upload' && row.file_id !== null)
  const chosen = new Map<string, CertificateRow>()
  for (const name of names) {
    const row = bestUpload(uploads, name, now) ?? acme.get(name.hostname)
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
  const uploads = rows.filter((row) => row.source === 'upload' && row.file_id !== null)
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

function bestUpload(
  uploads: readonly CertificateRow[],
  { hostname, project_id: projectId }: ServedName,
  now: string,
): CertificateRow | undefined {
  return uploads
    .filter(
      (row) => row.project_id === projectId && (row.not_after ?? '') > now && covers(row.hostnames, hostname),
    )
    .toSorted((one, other) => ((one.not_after ?? '') < (other.not_after ?? '') ? 1 : -1))[0]
}
