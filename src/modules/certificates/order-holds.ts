import type { System } from '../../lib/system.ts'
import type { CertificateRow, OrderStage } from './certificate-schema.ts'
import type { CertificateStore } from './certificate-store.ts'

export interface OrderHoldDeps {
  store: Pick<CertificateStore, 'listAll' | 'change'>
  system: System
}

/**
 * Holds all orders at an authority that has refused the account rather than a name. Orders that there are bear it in their rows; for those that are
 * made later it is in memory: after a restart the first of them asks once.
 */
export function createOrderHolds({ store, system }: OrderHoldDeps) {
  const until = new Map<OrderStage, string>()

  return {
    /** Puts off what would be asked of the authority before `instant` (RFC 3339), and says why. */
    begin: (
      stage: OrderStage,
      instant: string,
      last: Pick<CertificateRow, 'last_error' | 'last_error_at'>,
    ): void => {
      if (instant <= (until.get(stage) ?? '')) return
      until.set(stage, instant)
      for (const { id, source, stage: its, next_attempt_at: next } of store.listAll())
        if (source === 'acme' && its === stage && next !== null && next < instant)
          store.change(id, { ...last, next_attempt_at: instant, retry_after: instant })
    },

    /** From when on an authority may be asked, and whether that is its own wish, as its row is to say. */
    soonest: (stage: OrderStage): Pick<CertificateRow, 'next_attempt_at' | 'retry_after'> => {
      const now = system.nowIso()
      const held = until.get(stage) ?? ''
      return held > now
        ? { next_attempt_at: held, retry_after: held }
        : { next_attempt_at: now, retry_after: null }
    },
  }
}
