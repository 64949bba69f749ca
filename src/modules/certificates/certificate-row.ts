import type { System } from '../../lib/system.ts'
import type { CertificateRow, CertificateSource } from './certificate-schema.ts'

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
    file_id: null,
    issuer: null,
    serial: null,
    fingerprint: null,
    not_before: null,
    not_after: null,
    stage: 'production',
    step: null,
    order_url: null,
    order_key_sealed: null,
    challenge: null,
    failures: 0,
    last_error: null,
    last_error_at: null,
    next_attempt_at: null,
    retry_after: null,
    next_info_at: null,
    revision: 1,
    created_at: now,
    updated_at: now,
  }
}
