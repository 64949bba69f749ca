import { createWorker } from '../lib/worker.ts'
import { createLogOperations } from '../modules/logs/log-operations.ts'
import { createLogRetention } from '../modules/logs/log-retention.ts'
import { createServiceLogs } from '../modules/logs/service-logs.ts'
import { createRequestCollector } from '../modules/requests/request-collector.ts'
import { createRequestOperations } from '../modules/requests/request-operations.ts'
import { type Base, reporter } from './base.ts'
import type { Delivery } from './delivery.ts'
import type { Traffic } from './traffic.ts'

const COLLECT_EVERY_MS = 500

/** The access log of services: from the ingress into files, kept like their output. */
export function composeRequests(base: Base, traffic: Traffic, delivery: Delivery) {
  const { config, log, system, stores } = base
  const logs = createServiceLogs({
    dataDir: config.data_dir,
    folder: 'requests',
    system,
    maxBytes: config.request_log_max_bytes,
    onError: reporter(base, 'requests'),
  })
  const serviceExists = (id: string): boolean => stores.services.findAny(id) !== undefined
  const operations = createRequestOperations(
    createLogOperations({
      serviceLogs: logs,
      deploymentLogs: delivery.logs.deployments,
      system,
      projectOf: stores.services.projectOf,
    }),
  )
  const worker = createWorker({
    name: 'requests',
    system,
    everyMs: COLLECT_EVERY_MS,
    run: createRequestCollector({
      system,
      collect: traffic.ingress.collectRequests,
      serviceExists,
      openLog: logs.open,
      onLost: (service_id, requests) =>
        log.warn({ service_id, requests }, 'requests came faster than the access log takes them'),
    }),
    onError: reporter(base, 'requests'),
  })
  return {
    operations,
    worker,
    remove: logs.remove,
    expire: createLogRetention({
      serviceLogs: logs,
      deploymentLogs: delivery.logs.deployments,
      system,
      serviceExists,
      maxDays: config.request_log_max_days,
    }).run,
    stop: async (): Promise<void> => {
      await worker.stop()
      await logs.closeAll()
    },
  }
}
export type Requests = ReturnType<typeof composeRequests>
