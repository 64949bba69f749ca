import { AppError } from '../../lib/errors.ts'
import { requireUnchanged, type Revised } from '../../lib/revision.ts'
import type { System } from '../../lib/system.ts'
import type { Database } from '../../store/database.ts'
import type { RecordAudit } from '../audit/audit.ts'
import { recordActor } from '../identity/actor.ts'
import { requirePermission } from '../identity/authorize.ts'
import type { Context } from '../identity/context.ts'
import type { FreezeRow, FreezeView } from './freeze-schema.ts'
import type { FreezeStore } from './freeze-store.ts'

export interface FreezeDeps {
  database: Database
  store: FreezeStore
  system: System
  recordAudit: RecordAudit
}

export type FreezeOperations = ReturnType<typeof createFreezeOperations>

/** The verbs on freezes, of a project or (null) of the node. */
export function createFreezeOperations({ database, store, system, recordAudit }: FreezeDeps) {
  const audit = (context: Context, verb: string, projectId: string | null, reason: string): void =>
    recordAudit(context, {
      action: `${verb}${projectId === null ? 'Node' : 'Project'}`,
      resource_kind: projectId === null ? 'node' : 'project',
      ...(projectId !== null && { resource_id: projectId, project_id: projectId }),
      details: { reason },
    })

  return {
    /** Whether deployments are refused, and why. */
    getFreeze: (context: Context, projectId: string | null): FreezeView & Revised => {
      if (projectId !== null) requirePermission(context.actor, 'projects.read', projectId)
      return view(store.find(projectId))
    },

    /** Refuses deployments from now on, for this reason; those that were asked for before go on. */
    freeze: (context: Context, projectId: string | null, reason: string): FreezeView & Revised =>
      database.transact(() => {
        if (projectId !== null) requirePermission(context.actor, 'projects.write', projectId)
        requireUnchanged(context, view(store.find(projectId)))
        const row: FreezeRow = {
          id: system.newId(),
          project_id: projectId,
          reason,
          created_by: recordActor(context.actor),
          created_at: system.nowIso(),
        }
        store.put(row)
        audit(context, 'freeze', projectId, reason)
        return view(row)
      }),

    /** Lets deployments in again; also when they are let in already. */
    unfreeze: (context: Context, projectId: string | null): void =>
      database.transact(() => {
        if (projectId !== null) requirePermission(context.actor, 'projects.write', projectId)
        const freeze = store.find(projectId)
        requireUnchanged(context, view(freeze))
        if (freeze) audit(context, 'unfreeze', projectId, freeze.reason)
        store.remove(projectId)
      }),

    /** Throws DEPLOYS_FROZEN while the project or the node is frozen; `advice` says what may be done instead. */
    requireUnfrozen: (projectId: string, advice?: string): void => {
      const freeze = store.find(projectId) ?? store.find(null)
      if (!freeze) return
      const where = freeze.project_id === null ? 'this node' : 'this project'
      throw new AppError('DEPLOYS_FROZEN', {
        message: `Deployments of ${where} are frozen by ${freeze.created_by.name}: ${freeze.reason}`,
        details: [{ message: freeze.reason }, ...(advice === undefined ? [] : [{ message: advice }])],
      })
    },
  }
}

/** A row is never changed but replaced by another, so its id makes the entity tag. */
function view(freeze: FreezeRow | undefined): FreezeView & Revised {
  return {
    ...(freeze ? { id: freeze.id, revision: 1 } : { id: 'unfrozen', revision: 0 }),
    frozen: freeze !== undefined,
    reason: freeze?.reason ?? null,
    created_by: freeze?.created_by.name ?? null,
    created_at: freeze?.created_at ?? null,
  }
}
