import type { System } from '../../lib/system.ts'
import type { RecordAudit } from '../audit/audit.ts'
import { BERTH_ITSELF } from '../identity/context.ts'
import type { CertificateRow, CertificateSource } from './certificate-schema.ts'
import { type CertificateChange, NO_PAIR } from './certificate-store.ts'

/** Nothing is under way for a row, and nothing went wrong. */
export const NO_ORDER = {
  step: null,
  order_url: null,
  order_key_sealed: null,
  challenge: null,
  failures: 0,
  last_error: null,
  last_error_at: null,
  retry_after: null,
} as const satisfies CertificateChange

/** Audits what Berth itself did with a certificate. */
export function recordOwn(recordAudit: RecordAudit, action: string, row: CertificateRow): void {
  recordAudit(BERTH_ITSELF, {
    action,
    resource_kind: 'certificate',
    resource_id: row.id,
    ...(row.project_id !== null && { project_id: row.project_id }),
    details: { hostname: row.hostname },
  })
}

/** A row for a hostname, of which there is nothing yet. */
export function emptyRow(
  system: System,
  source: CertificateSource,
  { hostname, project_id }: Pick<CertificateRow, 'hostname' | 'project_id'>,
): CertificateRow {
  const now = system.nowIso()
  return {
    id: system.newId(),
    project_id,
    source,
    hostname,
    hostnames: [hostname],
    ...NO_PAIR,
    ...NO_ORDER,
    stage: 'production',
    next_attempt_at: null,
    revision: 1,
    created_at: now,
    updated_at: now,
  }
}
