import { createSystem, type System } from '../../../src/lib/system.ts'
import { createResealing } from '../../../src/modules/secrets/resealing.ts'
import { createRotationOperations } from '../../../src/modules/secrets/rotation-operations.ts'
import { createSealedStore } from '../../../src/modules/secrets/sealed-store.ts'
import { createSecrets } from '../../../src/modules/secrets/secrets.ts'
import type { AuditEntry } from '../../../src/modules/audit/audit.ts'
import type { Database } from '../../../src/store/database.ts'
import { join } from 'node:path'
import { openMigrated } from '../../support/migrated-database.ts'

/** The key and all that is sealed of one node, as a daemon joins them. */
export async function openRotationWorld(
  dataDir: string,
  options: { system?: System; recoveryRecipients?: string[]; database?: (plain: Database) => Database } = {},
) {
  const system = options.system ?? createSystem()
  const file = join(dataDir, 'berth.db')
  const plain = openMigrated(file)
  const database = options.database?.(plain) ?? plain
  const secrets = await createSecrets({
    dataDir,
    system,
    recoveryRecipients: options.recoveryRecipients ?? [],
  })
  const audited: AuditEntry[] = []
  const unreadable: string[] = []
  const common = {
    database,
    system,
    store: createSealedStore(database),
    secrets,
    recordAudit: (_: unknown, entry: AuditEntry) => void audited.push(entry),
  }
  return {
    database,
    secrets,
    store: common.store,
    audited,
    unreadable,
    rotations: createRotationOperations({ ...common, rotationBegan: () => {} }),
    run: createResealing({ ...common, onUnreadable: (place) => unreadable.push(place) }),
    /** Adds a project with sealed variables. */
    addProject: async (name: string, env: Record<string, string>): Promise<void> => {
      const now = system.nowIso()
      const sealed = await secrets.seal(env)
      database.run(
        `INSERT INTO projects (id, name, description, shared_env_sealed, revision, created_at, updated_at)
         VALUES ($id, $name, '', $sealed, 1, $now, $now)`,
        { id: system.newId(), name, sealed, now },
      )
    },
    documents: (): { name: string; document: string }[] =>
      database.all('SELECT name, shared_env_sealed AS document FROM projects ORDER BY name'),
  }
}

export type RotationWorld = Awaited<ReturnType<typeof openRotationWorld>>
