import type { Database } from '../../store/database.ts'
import type { FreezeRow } from './freeze-schema.ts'

type StoredRow = Omit<FreezeRow, 'created_by'> & { created_by: string }

export type FreezeStore = ReturnType<typeof createFreezeStore>

/** SQL of freezes. A project of null is the node. */
export function createFreezeStore(database: Database) {
  return {
    find: (projectId: string | null): FreezeRow | undefined => {
      const row = database.get<StoredRow>('SELECT * FROM freezes WHERE project_id IS $projectId', {
        projectId,
      })
      return row && { ...row, created_by: JSON.parse(row.created_by) as FreezeRow['created_by'] }
    },

    /** Adds it, instead of one that there is. */
    put: (freeze: FreezeRow): void => {
      database.run('DELETE FROM freezes WHERE project_id IS $projectId', { projectId: freeze.project_id })
      database.run(
        `INSERT INTO freezes (id, project_id, reason, created_by, created_at)
         VALUES ($id, $project_id, $reason, $created_by, $created_at)`,
        { ...freeze, created_by: JSON.stringify(freeze.created_by) },
      )
    },

    remove: (projectId: string | null) =>
      database.run('DELETE FROM freezes WHERE project_id IS $projectId', { projectId }),
  }
}
