import type { CredentialKind } from '../identity/actor.ts'

/** Who did something and where it came from. A `Context` is one; Berth itself acts as BERTH_ITSELF (identity/context.ts). */
export interface AuditContext {
  readonly actor: {
    readonly via: CredentialKind | 'system' | 'unknown'
    readonly user_id: string | null
    readonly token_id: string | null
    readonly name: string
  }
  readonly request_id: string | null
  readonly client_address: string | null
}

/** What is known of one act. */
export interface AuditEntry {
  /** The operationId: `addDomain`. */
  action: string
  /** `done` when left out. */
  outcome?: 'denied' | 'failed'
  /** The noun: `service`, `user`. */
  resource_kind?: string
  resource_id?: string
  /** The project whose admins may read it; without one only super-admins do. */
  project_id?: string
  /** Facts that a reader needs, small and never a secret: names and counts, not values. */
  details?: Readonly<Record<string, string | number | boolean | null | readonly string[]>>
}

/**
 * Appends to the audit log. Call it inside the transaction of the change that it tells of, so that neither is ever kept without the
 * other.
 */
export type RecordAudit = (context: AuditContext, entry: AuditEntry) => void
