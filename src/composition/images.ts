import { createAddressRule } from '../lib/address-rule.ts'
import { createExternalRegistryOperations } from '../modules/registries/external-registry-operations.ts'
import { createImageCheck } from '../modules/registries/image-check.ts'
import { createImageSource } from '../modules/registries/image-source.ts'
import { createAskUpstream } from '../modules/registries/upstream-request.ts'
import { createImageWriter } from '../modules/registry/image-writer.ts'
import type { Access } from './access.ts'
import type { Base } from './base.ts'
import type { RegistryPart } from './registry.ts'

/** Images that somebody else made: from where they come, and what is shown to get them. */
export function composeImages(base: Base, { secrets, audit, identity }: Access, registry: RegistryPart) {
  const { config, system, stores, state } = base
  const images = createImageSource({
    ask: createAskUpstream(createAddressRule(config.image_private_ranges)),
    system,
    store: stores.externalRegistries,
    secrets,
    images: registry.images,
    writerFor: (repository, token) =>
      createImageWriter({ protocol: registry.protocol, system, repository, token }),
    isOwnHost: registry.entry.isOwn,
    projectIdOf: (name) => stores.projects.findByName(name)?.id,
    mayPull: (userId, projectId) => identity.userMay(userId, 'registry.pull', projectId),
  })
  return {
    images,
    check: createImageCheck({ images }),
    registries: createExternalRegistryOperations({
      database: state.database,
      system,
      store: stores.externalRegistries,
      secrets,
      recordAudit: audit.record,
      projectExists: (id) => stores.projects.find(id) !== undefined,
      usersOf: stores.services.listUsingRegistry,
    }),
  }
}
export type ImagesPart = ReturnType<typeof composeImages>
