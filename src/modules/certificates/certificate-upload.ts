import { AppError } from '../../lib/errors.ts'
import type { System } from '../../lib/system.ts'
import { type CertificateFacts, PairError, readPair } from './certificate-pair.ts'
import { emptyRow } from './certificate-row.ts'
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
  return {
    ...emptyRow(system, 'upload', { hostname: facts.hostnames[0] ?? '', project_id: projectId }),
    ...facts,
    file_id: fileId,
  }
}
