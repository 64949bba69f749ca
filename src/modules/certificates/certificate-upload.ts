import { AppError } from '../../lib/errors.ts'
import type { System } from '../../lib/system.ts'
import { type CertificateFacts, PairError, readPair } from './certificate-pair.ts'
import type { CertificateRow, CertificateUpload } from './certificate-schema.ts'

/** Checks what was sent. Throws VALIDATION_ERROR, which says what is wrong with it. */
export function readUpload(input: CertificateUpload, nowMs: number) {
  try {
    return readPair(input.certificate, input.private_key, nowMs)
  } catch (error) {
    if (error instanceof PairError) throw invalidUpload(error.field, error.message)
    throw error
  }
}

/** A refusal of one field of an upload. */
export function invalidUpload(field: string, message: string): AppError {
  return new AppError('VALIDATION_ERROR', { details: [{ field, message }] })
}

/** The row of an uploaded certificate. */
export function uploadedRow(
  system: System,
  projectId: string | null,
  fileId: string,
  facts: CertificateFacts,
): CertificateRow {
  const now = system.nowIso()
  return {
    id: system.newId(),
    project_id: projectId,
    source: 'upload',
    hostname: facts.hostnames[0] ?? '',
    ...facts,
    file_id: fileId,
    stage: 'production',
    step: null,
    order_url: null,
    order_key_sealed: null,
    challenge: null,
    failures: 0,
    last_error: null,
    last_error_at: null,
    next_attempt_at: null,
    next_info_at: null,
    revision: 1,
    created_at: now,
    updated_at: now,
  }
}
