import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'
import type { DeploymentRow, SealedEnv } from '../../../src/modules/deployments/deployment-schema.ts'
import { createDeploymentImageStore } from '../../../src/modules/deployments/deployment-image-store.ts'
import { createDeploymentStore } from '../../../src/modules/deployments/deployment-store.ts'
import { createProjectStore } from '../../../src/modules/projects/project-store.ts'
import type { ServiceRow } from '../../../src/modules/services/service-schema.ts'
import { createServiceStore } from '../../../src/modules/services/service-store.ts'
import { deployment, EARLIER } from '../replicas/replica-rows.ts'
import { openMigrated } from '../../support/migrated-database.ts'

export const NOW = '2026-01-01T12:00:00.000Z'

/** A service of the project `project`. */
export function service(id: string, fields: Partial<ServiceRow> = {}): ServiceRow {
  const { build, config } = deployment('any')
  return {
    id,
    project_id: 'project',
    name: id,
    source: { type: 'upload' },
    build,
    config,
    routing: {},
    env_sealed: null,
    replicas: 1,
    autoscale: null,
    desired_state: 'running',
    live_deployment_id: null,
    canary_deployment_id: null,
    canary_percent: null,
    revision: 1,
    created_at: EARLIER,
    updated_at: EARLIER,
    ...fields,
  }
}

/** Real rows: a project with the services `web` and `api`. */
export function openRows(t: Test) {
  const dataDir = mkdtempSync(join(tmpdir(), 'berth-rows-'))
  const file = join(dataDir, 'berth.db')
  const database = openMigrated(file)
  t.teardown(() => {
    database.close()
    rmSync(dataDir, { recursive: true, force: true })
  })
  createProjectStore(database).insert({
    id: 'project',
    name: 'shop',
    description: '',
    shared_env_sealed: null,
    default_resource_limits: null,
    revision: 1,
    created_at: EARLIER,
    updated_at: EARLIER,
  })
  const services = createServiceStore(database)
  services.insert(service('web'))
  services.insert(service('api'))
  const store = createDeploymentStore(database)
  return {
    database,
    services,
    store,
    images: createDeploymentImageStore(database),
    /** Adds a deployment that is over with this status, unless the fields say otherwise. */
    add: (number: number, fields: Partial<DeploymentRow> = {}, env: Partial<SealedEnv> = {}): string => {
      const service_id = fields.service_id ?? 'web'
      const id = fields.id ?? `${service_id}-${number}`
      const image = `${id}:tag`
      store.insert(
        { ...deployment(id), service_id, number, image, image_id: `sha256:${id}`, ...fields },
        { env_sealed: null, file_env_sealed: null, ...env },
      )
      return id
    },
  }
}
