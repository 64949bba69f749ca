import { createAudit } from '../modules/audit/audit-operations.ts'
import { ensureAdminToken } from '../modules/identity/admin-token.ts'
import { createIdentity } from '../modules/identity/identity-operations.ts'
import { createSealedStore } from '../modules/secrets/sealed-store.ts'
import { createSecrets } from '../modules/secrets/secrets.ts'
import { type Base, reporter } from './base.ts'

/** Who may do what, what they did, and what only Berth may read. */
export async function composeAccess(base: Base) {
  const { config, system } = base
  const { database } = base.state
  const adminToken = await ensureAdminToken(config, system)
  const secrets = await createSecrets({
    dataDir: config.data_dir,
    system,
    recoveryRecipients: config.recovery_recipients,
    findSealed: createSealedStore(database).findSealed,
  })
  const audit = createAudit({ database, system, onError: reporter(base, 'audit') })
  const identity = createIdentity({
    database,
    system,
    record: audit.record,
    adminToken,
    settings: config,
    onError: reporter(base, 'identity'),
  })
  return { secrets, audit, identity }
}
export type Access = Awaited<ReturnType<typeof composeAccess>>
