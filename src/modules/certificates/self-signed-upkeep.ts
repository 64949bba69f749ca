import type { System } from '../../lib/system.ts'
import type { Database } from '../../store/database.ts'
import type { RecordAudit } from '../audit/audit.ts'
import type { Obtained } from './certificate-order.ts'
import { readPair } from './certificate-pair.ts'
import { planSelfSigned, type SelfSignedPlan, type ServedName } from './certificate-plan.ts'
import { emptyRow, recordOwn } from './certificate-row.ts'
import type { CertificateRow } from './certificate-schema.ts'
import type { CertificateStore } from './certificate-store.ts'
import type { PairKeeper } from './pair-keeper.ts'
import { renewalTime } from './renewal.ts'
import type { MakeSelfSigned } from './self-signed-pairs.ts'

export interface SelfSignedDeps {
  database: Database
  store: CertificateStore
  system: System
  recordAudit: RecordAudit
  pairs: PairKeeper
  listNames: () => ServedName[]
  make: MakeSelfSigned
  /** Resolves when the ingress serves what the rows say. */
  publish: () => Promise<void>
}

const NOTHING: SelfSignedPlan = { make: [], remove: [] }
/** Certificates that one thread makes: its answer is kept in memory until they are written. */
const BATCH = 100
const LIFETIME_MS = 90 * 86_400_000
/** Clients whose clock is behind take it, too. */
const BACKDATED_MS = 3_600_000

/**
 * Makes the self-signed certificates that there are those that the hostnames ask for and have no other for, and has the choice of this moment
 * published where that changes it.
 */
export function createSelfSignedUpkeep(deps: SelfSignedDeps): () => Promise<void> {
  const { database, store, system } = deps
  const plan = (): SelfSignedPlan => {
    const names = deps.listNames()
    // The usual case, every few seconds: nobody asks, and nothing is left of who did.
    if (!names.some((name) => name.self_signed) && !store.hasSelfSigned()) return NOTHING
    return planSelfSigned(names, store.listAll(), system.nowIso())
  }

  /** What nobody wants any more by now is removed behind the next publication. */
  const keep = (name: ServedName, pair: Obtained): Promise<void> => {
    const { facts, ...kept } = readPair(pair.chain_pem, pair.key_pem, system.now())
    const jitter = system.randomBytes(2).readUInt16BE(0) / 0xffff
    const renewMs = renewalTime(Date.parse(facts.not_before), Date.parse(facts.not_after), jitter)
    return deps.pairs.keep(kept, (fileId) =>
      database.transact(() => {
        const row = store.findSelfSigned(name.hostname)
        const made = {
          ...facts,
          project_id: name.project_id,
          file_id: fileId,
          next_attempt_at: new Date(renewMs).toISOString(),
          updated_at: system.nowIso(),
        }
        const next: CertificateRow = { ...(row ?? emptyRow(system, 'self_signed', name)), ...made }
        if (row) store.change(row.id, made)
        else store.insert(next)
        recordOwn(deps.recordAudit, row ? 'renewCertificate' : 'makeCertificate', next)
      }),
    )
  }

  const makeBatch = async (batch: readonly ServedName[]): Promise<void> => {
    const pairs = await deps.make({
      hostnames: batch.map(({ hostname }) => hostname),
      not_before: new Date(system.now() - BACKDATED_MS).toISOString(),
      not_after: new Date(system.now() + LIFETIME_MS).toISOString(),
    })
    for (const [index, name] of batch.entries()) {
      const pair = pairs[index]
      if (pair) await keep(name, pair)
    }
  }

  return async () => {
    const { make: needed, remove } = plan()
    if (needed.length === 0 && remove.length === 0) return
    for (let at = 0; at < needed.length; at += BATCH) {
      await makeBatch(needed.slice(at, at + BATCH))
      await deps.publish()
    }
    // What takes their place is served before they go.
    if (remove.length > 0) await deps.publish()
    database.transact(() => {
      for (const row of plan().remove) {
        store.remove(row.id)
        recordOwn(deps.recordAudit, 'removeCertificate', row)
      }
    })
  }
}
