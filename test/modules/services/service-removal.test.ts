import { test } from 'tap'
import {
  removeDeletedServices,
  type ServiceRemovalDeps,
} from '../../../src/modules/services/service-removal.ts'
import type { ServiceSummary } from '../../../src/modules/services/service-schema.ts'
import { createSystem } from '../../../src/lib/system.ts'
import { createFakeRuntime } from '../../../src/runtime/fake-runtime.ts'

test('a service that cannot be removed yet does not keep the others', async (t) => {
  const removed: string[] = []
  const services = ['stuck', 'other'].map((id) => ({ id, project_id: 'p' }) as ServiceSummary)
  const deps: ServiceRemovalDeps = {
    runtime: createFakeRuntime({ system: createSystem() }).runtime,
    listDeleting: () => services,
    countByProject: () => 2,
    endDeployments: async () => {},
    foreignImages: () => [],
    removeLogs: async (id) => {
      if (id === 'stuck') throw new Error('the disk refuses')
    },
    removeVolumes: async () => true,
    networkOf: (id) => id,
    removeRow: () => {},
    removed: (id) => void removed.push(id),
  }
  await t.rejects(removeDeletedServices(deps, new AbortController().signal), /the disk refuses/, 'it is told')
  t.same(removed, ['other'])
})
