import { createEngineEntry } from '../http/engine-entry.ts'
import { createRegistry } from '../modules/registry/registry.ts'
import type { Access } from './access.ts'
import { type Base, reporter } from './base.ts'

/** The hosted OCI registry. */
export async function composeRegistry(base: Base, { audit, identity }: Access) {
  const { config, log, system, state, stores } = base
  const listeners = new Set<() => void>()
  const registry = await createRegistry({
    tagged: () => {
      for (const listener of listeners) listener()
    },
    database: state.database,
    system,
    identity,
    recordAudit: audit.record,
    onDenied: audit.recordDenial,
    accessRevision: audit.accessRevision,
    describeHolder: (id) => {
      const deployment = stores.deployments.find(id)
      const service = deployment && stores.services.findAny(deployment.service_id)
      return service ? `service ${service.name} (release ${deployment.number})` : `deployment ${id}`
    },
    hasService: (id) => stores.services.find(id) !== undefined,
    onProblem: (problem, details) => log.warn({ ...details, part: 'registry' }, problem),
    onError: reporter(base, 'registry'),
    settings: config,
  })
  /** Whoever wants to know that something was pushed. */
  const onPush = (listener: () => void): void => void listeners.add(listener)
  return { ...registry, onPush, entry: createEngineEntry(config.control_domain) }
}
export type RegistryPart = Awaited<ReturnType<typeof composeRegistry>>
