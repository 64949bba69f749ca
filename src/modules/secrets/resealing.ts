import type { System } from '../../lib/system.ts'
import { createTurns } from '../../lib/turns.ts'
import type { Database } from '../../store/database.ts'
import type { RecordAudit } from '../audit/audit.ts'
import { BERTH_ITSELF } from '../identity/context.ts'
import { SealBroken } from './sealed-value.ts'
import type { SealedColumn, SealedStore, StoredDocument } from './sealed-store.ts'
import type { NodeSecrets } from './secrets.ts'

export interface ResealingDeps {
  database: Database
  system: System
  store: SealedStore
  secrets: NodeSecrets
  recordAudit: RecordAudit
  /** Told of documents that cannot be opened; they are left as they are. */
  onUnreadable: (place: string, error: unknown) => void
}

interface Pass {
  resealed: number
  unreadable: number
  /** Retired keys that a document still names. */
  needed: Set<string>
}

/** Documents that are read at once; each is then sealed by itself. */
const BATCH = 8
/** What reading a document costs besides its size. */
const READ_COST_BYTES = 2048
/**
 * What was sealed for the old key may be stored a moment later. It has been, or never will be, when the last look begins this long after the
 * key was replaced; a daemon that has just started has nothing of the kind.
 */
const SETTLE_MS = 15_000

/**
 * Makes the body of a worker that keeps every sealed document sealed for just the recipients of today: after a change of the configuration and
 * for a rotation, whose steps it takes. Everything can be repeated: a key is replaced when the rotation still names the present one as the
 * old one, a document is replaced by compare-and-set, and an old key goes when a whole look has met nothing that needs it.
 */
export function createResealing(deps: ResealingDeps): (signal: AbortSignal) => Promise<void> {
  const { database, system, store, secrets } = deps
  let replacedAt: number | undefined

  const ensureNewKey = async (): Promise<string | undefined> => {
    const rotation = store.findRunning()
    if (!rotation) return undefined
    if (secrets.recipient() === rotation.from_recipient) {
      await secrets.replaceKey()
      replacedAt = system.monotonic()
    }
    if (rotation.to_recipient === null) store.setNewKey(rotation.id, secrets.recipient())
    return rotation.id
  }

  const look = async (rotationId: string | undefined, signal: AbortSignal): Promise<Pass> => {
    const pass: Pass = { resealed: 0, unreadable: 0, needed: new Set() }
    const turns = createTurns(system, READ_COST_BYTES)
    for (const column of store.listColumns()) {
      for (let rowid = 0; ;) {
        const batch = store.listAfter(column, rowid, BATCH)
        for (const each of batch) {
          signal.throwIfAborted()
          await turns.take(each.document.length)
          await resealOne(column, each, rotationId, pass)
        }
        const last = batch.at(-1)
        if (!last || batch.length < BATCH) break
        rowid = last.rowid
      }
    }
    return pass
  }

  const resealOne = async (
    column: SealedColumn,
    stored: StoredDocument,
    rotationId: string | undefined,
    pass: Pass,
  ): Promise<void> => {
    try {
      if (secrets.isPresent(stored.document)) return
      const by = await secrets.reseal(stored.document)
      database.transact(() => {
        // When it was changed meanwhile, that was sealed for the recipients of today.
        if (store.replace(column, stored, by) && rotationId !== undefined) store.countResealed(rotationId, 1)
      })
      pass.resealed += 1
    } catch (error) {
      if (!(error instanceof SealBroken)) throw error
      pass.unreadable += 1
      for (const recipient of namedIn(secrets, stored.document)) pass.needed.add(recipient)
      deps.onUnreadable(`${column.table}.${column.column}, row ${stored.rowid}`, error)
    }
  }

  const finish = async (rotationId: string | undefined, pass: Pass): Promise<void> => {
    const dropped: string[] = []
    for (const recipient of secrets.retired()) {
      if (pass.needed.has(recipient)) continue
      await secrets.dropRetired(recipient)
      dropped.push(recipient)
    }
    const rotation = rotationId === undefined ? undefined : store.findRotation(rotationId)
    if (!rotation) return
    database.transact(() => {
      if (!store.finishRotation(rotation.id, pass.unreadable, system.nowIso())) return
      deps.recordAudit(BERTH_ITSELF, {
        action: 'finishKeyRotation',
        resource_kind: 'key_rotation',
        resource_id: rotation.id,
        details: {
          to_recipient: secrets.recipient(),
          resealed: rotation.resealed,
          unreadable: pass.unreadable,
          dropped_keys: dropped,
        },
      })
    })
  }

  return async (signal) => {
    const rotationId = await ensureNewKey()
    for (;;) {
      const wait = replacedAt === undefined ? 0 : replacedAt + SETTLE_MS - system.monotonic()
      const pass = await look(rotationId, signal)
      if (wait <= 0 && pass.resealed === 0) return finish(rotationId, pass)
      if (pass.resealed === 0) await system.sleep(wait, signal)
    }
  }
}

/** Whom a document names, however broken it is. */
function namedIn(secrets: NodeSecrets, document: string): string[] {
  return secrets.retired().filter((recipient) => document.includes(recipient))
}
