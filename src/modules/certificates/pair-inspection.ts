import { isAppError, messageOf, systemCodeOf } from '../../lib/errors.ts'
import type { System } from '../../lib/system.ts'
import type { Database } from '../../store/database.ts'
import type { RecordAudit } from '../audit/audit.ts'
import { BERTH_ITSELF } from '../identity/context.ts'
import { type CertificateRow, soonestAttempt } from './certificate-schema.ts'
import { type CertificateStore, NO_PAIR } from './certificate-store.ts'
import type { PairFiles } from './pair-keeper.ts'

export interface PairInspectionDeps {
  database: Database
  store: CertificateStore
  system: System
  recordAudit: RecordAudit
  files: PairFiles
}

/** How often each pair is opened to see whether it can be; all of them when the daemon starts. */
const EVERY_MS = 24 * 3_600_000
/**
 * Looks whether the pairs that rows name can be opened. One that cannot, because its file is gone or damaged or the key of the data plane was lost, counts as none:
 * nobody could be served with it. Its file is set aside. Another one is obtained or made at once; an uploaded one says that it has to be uploaded again. Resolves to whether
 * there was any.
 */
export function createPairInspection({ database, store, system, recordAudit, files }: PairInspectionDeps) {
  const lookedAt = new Map<string, number>()

  const forget = (id: string, fileId: string, why: string): void =>
    database.transact(() => {
      const row = store.find(id)
      if (!row || row.file_id !== fileId) return
      const now = system.nowIso()
      const again = row.source === 'upload' ? 'Upload it again.' : 'Another one takes its place.'
      store.change(id, {
        ...NO_PAIR,
        ...(row.source === 'upload' ? { failures: 1 } : { next_attempt_at: soonestAttempt(row, now) }),
        last_error: `The stored certificate could not be opened (${why}). ${again}`,
        last_error_at: now,
        updated_at: now,
      })
      record(recordAudit, row)
    })

  return async (signal: AbortSignal): Promise<boolean> => {
    const named = store
      .listAll()
      .flatMap(({ id, file_id: fileId }) => (fileId === null ? [] : [{ id, fileId }]))
    const present = new Set(named.map(({ fileId }) => fileId))
    for (const fileId of lookedAt.keys()) if (!present.has(fileId)) lookedAt.delete(fileId)
    const now = system.monotonic()
    let lost = false
    for (const { id, fileId } of named) {
      if (signal.aborted) break
      if (now - (lookedAt.get(fileId) ?? -EVERY_MS) < EVERY_MS) continue
      const why = await whyUnusable(files, fileId)
      if (why === 'unknown') continue
      lookedAt.set(fileId, now)
      if (why === undefined) continue
      // It may open again: with the key that was lost, for one.
      await files.setAside(fileId)
      forget(id, fileId, why)
      lost = true
    }
    return lost
  }
}

async function whyUnusable(files: PairFiles, fileId: string): Promise<string | undefined> {
  try {
    return (await files.read(fileId)) ? undefined : 'its file is gone'
  } catch (error) {
    // The data plane is starting, or the disk does not give the file now: neither says anything of what is in it.
    if (isAppError(error) || systemCodeOf(error) !== undefined) return 'unknown'
    return messageOf(error)
  }
}

function record(recordAudit: RecordAudit, row: CertificateRow): void {
  recordAudit(BERTH_ITSELF, {
    action: 'loseCertificate',
    outcome: 'failed',
    resource_kind: 'certificate',
    resource_id: row.id,
    ...(row.project_id !== null && { project_id: row.project_id }),
    details: { hostname: row.hostname },
  })
}
