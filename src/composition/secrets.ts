import { createWorker } from '../lib/worker.ts'
import { createResealing } from '../modules/secrets/resealing.ts'
import { createRotationOperations } from '../modules/secrets/rotation-operations.ts'
import { createSealedStore } from '../modules/secrets/sealed-store.ts'
import type { Access } from './access.ts'
import { type Base, reporter } from './base.ts'

const EVERY_MS = 6 * 3600_000

/** Keeps what is sealed sealed for the right keys. */
export function composeSecrets(base: Base, { secrets, audit }: Access) {
  const { log, system, state } = base
  const common = {
    database: state.database,
    system,
    store: createSealedStore(state.database),
    secrets,
    recordAudit: audit.record,
  }
  const worker = createWorker({
    name: 'secrets',
    system,
    everyMs: EVERY_MS,
    run: createResealing({
      ...common,
      onUnreadable: (place, error) =>
        log.error({ err: error, place }, 'a sealed document cannot be opened; it is left as it is'),
    }),
    onError: reporter(base, 'secrets'),
  })
  return { worker, rotations: createRotationOperations({ ...common, rotationBegan: worker.nudge }) }
}
export type Sealing = ReturnType<typeof composeSecrets>
