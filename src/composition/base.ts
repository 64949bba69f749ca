import type { Config } from '../config.ts'
import { sparing } from '../lib/disk-trouble.ts'
import { messageOf } from '../lib/errors.ts'
import type { Log } from '../lib/log.ts'
import type { System } from '../lib/system.ts'
import { createDeploymentImageStore } from '../modules/deployments/deployment-image-store.ts'
import { createDeploymentStore } from '../modules/deployments/deployment-store.ts'
import { createCertificateStore } from '../modules/certificates/certificate-store.ts'
import { createDomainStore } from '../modules/domains/domain-store.ts'
import { createFreezeStore } from '../modules/freezes/freeze-store.ts'
import { createProjectStore } from '../modules/projects/project-store.ts'
import { createExternalRegistryStore } from '../modules/registries/external-registry-store.ts'
import { createReplicaStore } from '../modules/replicas/replica-store.ts'
import { createServiceStore } from '../modules/services/service-store.ts'
import { createUploadStore } from '../modules/uploads/upload-store.ts'
import { createVolumeStore } from '../modules/volumes/volume-store.ts'
import type { Runtime } from '../runtime/runtime.ts'
import { type State } from '../store/state.ts'

export interface AppOptions {
  config: Config
  log: Log
  system: System
  /** Instead of the Docker Engine of the configuration; tests hand in a fake. */
  runtime?: Runtime
}

export type Stores = ReturnType<typeof openStores>
export type Base = AppOptions & { state: State; stores: Stores }

export function openStores(database: State['database'], options: AppOptions) {
  return {
    projects: createProjectStore(database),
    services: createServiceStore(database),
    deployments: createDeploymentStore(database),
    deploymentImages: createDeploymentImageStore(database),
    replicas: createReplicaStore(database, reporter(options, 'replicas')),
    externalRegistries: createExternalRegistryStore(database),
    uploads: createUploadStore(database),
    volumes: createVolumeStore(database),
    domains: createDomainStore(database),
    freezes: createFreezeStore(database),
    certificates: createCertificateStore(database),
  }
}

/** A background task that failed is told of once, here; the task goes on. Want of room is told of once a minute, in a word. */
export function reporter({ log, system }: AppOptions, part: string): (error: unknown) => void {
  return sparing(system, (error, full) => {
    if (full) log.warn({ part, error: messageOf(error) }, 'the disk takes no writes; they are tried again')
    else log.warn({ err: error, part }, 'a background task failed; it goes on')
  })
}
