import type { System } from '../../lib/system.ts'
import type { DeploymentLogs } from './deployment-logs.ts'
import type { ServiceLogs } from './service-logs.ts'

export interface LogRetentionDeps {
  serviceLogs: ServiceLogs
  deploymentLogs: DeploymentLogs
  system: System
  /** Whether there is such a service, also one that is still being removed. */
  serviceExists: (serviceId: string) => boolean
  maxDays: number
}

/** The body of a worker: removes output that is too old, and logs of what is gone. Size is kept as lines are written. Run it every hour. */
export function createLogRetention(deps: LogRetentionDeps): { run: (signal: AbortSignal) => Promise<void> } {
  return {
    run: async (signal) => {
      const before = deps.system.now() - deps.maxDays * 86_400_000
      await deps.serviceLogs.sweep(before, deps.serviceExists, signal)
      await deps.deploymentLogs.sweep(signal)
    },
  }
}
