import { createWorker } from '../lib/worker.ts'
import { createTriggerStore } from '../modules/deployments/trigger-store.ts'
import { actingFor } from '../modules/identity/context.ts'
import { actOnDeliveries, removeOldDeliveries } from '../modules/webhooks/delivery-worker.ts'
import { createWebhookOperations } from '../modules/webhooks/webhook-operations.ts'
import { createWebhookStore } from '../modules/webhooks/webhook-store.ts'
import type { Access } from './access.ts'
import { type Base, reporter } from './base.ts'
import type { Delivery } from './delivery.ts'
import type { Traffic } from './traffic.ts'

/** Deploys what forges say was pushed. */
export function composeWebhooks(
  base: Base,
  { secrets, audit }: Access,
  { deployments }: Delivery,
  traffic: Traffic,
) {
  const { system, stores, state } = base
  const store = createWebhookStore(state.database)
  const worker = createWorker({
    name: 'webhooks',
    system,
    everyMs: 10_000,
    run: (signal) =>
      actOnDeliveries(
        {
          system,
          store,
          findService: stores.services.find,
          findDeployment: createTriggerStore(state.database).findTriggered,
          deploy: async (service, { ref, commit }, delivery) => {
            const { id } = await deployments.createDeployment(
              actingFor(service.project_id, 'deployments.create', `webhook ${delivery.webhook_id}`),
              { service_id: service.id, source: { type: 'git', git_ref: ref, commit } },
              { kind: 'webhook', id: delivery.id },
            )
            return id
          },
        },
        signal,
      ),
    onError: reporter(base, 'webhooks'),
  })
  const operations = createWebhookOperations({
    database: state.database,
    system,
    store,
    secrets,
    recordAudit: audit.record,
    findService: stores.services.find,
    urlOfPath: traffic.urlOfPath,
    deliveriesChanged: worker.nudge,
  })
  const upkeep = createWorker({
    name: 'webhook-deliveries',
    system,
    everyMs: 3600_000,
    run: () => removeOldDeliveries({ system, store }),
    onError: reporter(base, 'webhook-deliveries'),
  })
  return { operations, workers: [worker, upkeep], hasEnabled: store.hasEnabled }
}
export type Webhooks = ReturnType<typeof composeWebhooks>
