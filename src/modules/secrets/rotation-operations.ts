import { AppError } from '../../lib/errors.ts'
import { type Page, pageOf, type PageRequest } from '../../lib/page.ts'
import type { System } from '../../lib/system.ts'
import type { Database } from '../../store/database.ts'
import type { RecordAudit } from '../audit/audit.ts'
import { recordActor } from '../identity/actor.ts'
import type { Context } from '../identity/context.ts'
import type { RecipientView, RotationRow, RotationView } from './rotation-schema.ts'
import type { SealedStore } from './sealed-store.ts'
import type { NodeSecrets } from './secrets.ts'

export interface RotationDeps {
  database: Database
  system: System
  store: SealedStore
  secrets: NodeSecrets
  recordAudit: RecordAudit
  /** Called after a commit that began a rotation. */
  rotationBegan: () => void
}

export type RotationOperations = ReturnType<typeof createRotationOperations>

/** The verbs on the key of the node. */
export function createRotationOperations(deps: RotationDeps) {
  const { database, system, store, secrets } = deps

  return {
    /** The public keys that values are sealed for. */
    getRecipient: (): RecipientView => {
      const [recipient = '', ...recovery_recipients] = secrets.recipients()
      return { recipient, recovery_recipients }
    },

    /** Begins to replace the node's key and to seal everything anew, in the background, also after a crash. Throws CONFLICT while one runs. */
    rotateNodeKey: (context: Context): RotationView =>
      database.transact(() => {
        if (store.findRunning()) throw new AppError('CONFLICT', { message: 'A key rotation is under way.' })
        const row: RotationRow = {
          id: system.newId(),
          from_recipient: secrets.recipient(),
          to_recipient: null,
          created_by: recordActor(context.actor),
          resealed: 0,
          unreadable: 0,
          revision: 1,
          created_at: system.nowIso(),
          finished_at: null,
        }
        store.insertRotation(row)
        deps.recordAudit(context, {
          action: 'rotateNodeKey',
          resource_kind: 'key_rotation',
          resource_id: row.id,
          details: { from_recipient: row.from_recipient },
        })
        database.afterCommit(deps.rotationBegan)
        return view(row)
      }),

    /** Rotations, newest first. */
    listRotations: (page: PageRequest): Page<RotationView> => {
      const rows = store.listRotations(page.after ?? null, page.limit + 1)
      const { items, ...rest } = pageOf(rows, page.limit, (row) => row.id)
      return { ...rest, items: items.map(view) }
    },

    /** One rotation. */
    getRotation: (id: string): RotationView => {
      const row = store.findRotation(id)
      if (!row) throw new AppError('NOT_FOUND')
      return view(row)
    },
  }
}

function view({ created_by, ...row }: RotationRow): RotationView {
  return { ...row, status: row.finished_at === null ? 'running' : 'finished', created_by: created_by.name }
}
