import type { Database } from '../../store/database.ts'

export interface IdempotencyId {
  principal: string
  key_hash: Buffer
}

export interface IdempotencyRow extends IdempotencyId {
  fingerprint: Buffer
  /** Null while the request is under way. */
  status: number | null
  answer_sealed: Buffer | null
  created_at: string
}

export interface IdempotencyStore {
  /** Replaces an expired row of the same key. */
  put(row: IdempotencyRow): void
  /** Undefined also for a row that was made before `oldest`. */
  find(id: IdempotencyId, oldest: string): IdempotencyRow | undefined
  complete(id: IdempotencyId, status: number, answerSealed: Buffer): void
  remove(id: IdempotencyId): void
  removeBefore(instant: string): number
  /** Makes room for one more of the principal's. */
  trim(principal: string, most: number): void
}

/** Idempotency keys and the answers that they had. */
export function createIdempotencyStore(database: Database): IdempotencyStore {
  return {
    put: (row) => {
      database.run(
        `INSERT OR REPLACE INTO idempotency_keys (principal, key_hash, fingerprint, status, answer_sealed, created_at)
         VALUES ($principal, $key_hash, $fingerprint, $status, $answer_sealed, $created_at)`,
        { ...row },
      )
    },
    find: (id, oldest) =>
      database.get<IdempotencyRow>(
        `SELECT * FROM idempotency_keys
         WHERE principal = $principal AND key_hash = $key_hash AND created_at > $oldest`,
        { ...id, oldest },
      ),
    complete: (id, status, answerSealed) => {
      database.run(
        `UPDATE idempotency_keys SET status = $status, answer_sealed = $answerSealed
         WHERE principal = $principal AND key_hash = $key_hash`,
        { ...id, status, answerSealed },
      )
    },
    remove: (id) => {
      database.run('DELETE FROM idempotency_keys WHERE principal = $principal AND key_hash = $key_hash', {
        ...id,
      })
    },
    removeBefore: (instant) =>
      database.run('DELETE FROM idempotency_keys WHERE created_at <= $instant', { instant }),
    trim: (principal, most) => {
      database.run(
        `DELETE FROM idempotency_keys WHERE principal = $principal AND created_at <= (
           SELECT created_at FROM idempotency_keys WHERE principal = $principal
           ORDER BY created_at DESC LIMIT 1 OFFSET $skip)`,
        { principal, skip: most - 1 },
      )
    },
  }
}
