import { LABELS } from '../runtime/labels.ts'
import type { ContainerInfo, Runtime } from '../runtime/runtime.ts'
import { createWorker } from '../lib/worker.ts'
import type { DeploymentRow } from '../modules/deployments/deployment-schema.ts'
import { createReleaseEnv } from '../modules/deployments/release-env.ts'
import { createDeploymentLogs } from '../modules/logs/deployment-logs.ts'
import { createLogFollower, type FollowedContainer } from '../modules/logs/log-follower.ts'
import { createLogOperations } from '../modules/logs/log-operations.ts'
import { createLogRetention } from '../modules/logs/log-retention.ts'
import { createServiceLogs } from '../modules/logs/service-logs.ts'
import type { Access } from './access.ts'
import { type Base, reporter } from './base.ts'

/** What services and deployments write, kept, followed and masked. */
export function composeLogs(base: Base, { secrets }: Access, runtime: Runtime) {
  const { config, system, stores } = base
  const deploymentLogs = createDeploymentLogs({
    dataDir: config.data_dir,
    system,
    stateOf: (id) => {
      const deployment = stores.deployments.find(id)
      return deployment && { status: deployment.status, is_over: deployment.step === null }
    },
    onError: reporter(base, 'deployment-logs'),
  })
  const serviceLogs = createServiceLogs({
    dataDir: config.data_dir,
    system,
    maxBytes: config.log_max_bytes,
    onError: reporter(base, 'service-logs'),
  })
  const openEnv = createReleaseEnv(stores.deployments, secrets)
  const valuesOf = async (deploymentIds: readonly string[]): Promise<string[]> =>
    (await Promise.all(deploymentIds.map(openEnv))).flatMap((env) => Object.values(env))
  let containers: FollowedContainer[] = []
  const follower = createLogFollower({
    runtime,
    logs: serviceLogs,
    system,
    listContainers: () => containers,
    secretsOf: ({ service_id, deployment_id }) => {
      const live = stores.services.findAny(service_id)?.live_deployment_id ?? null
      return valuesOf([
        deployment_id,
        ...(live === null || live === deployment_id ? [] : [live]),
        ...stores.deployments
          .listOpenOfService(service_id)
          .map(({ id }) => id)
          .filter((id) => id !== deployment_id && id !== live),
      ])
    },
    onError: reporter(base, 'log-follower'),
  })
  const worker = createWorker({
    name: 'log-follower',
    system,
    everyMs: 5_000,
    run: follower.run,
    onError: reporter(base, 'log-follower'),
  })
  return {
    worker,
    deployments: deploymentLogs,
    operations: createLogOperations({
      serviceLogs,
      deploymentLogs,
      system,
      projectOf: stores.services.projectOf,
    }),
    expire: createLogRetention({
      serviceLogs,
      deploymentLogs,
      system,
      serviceExists: (id) => stores.services.findAny(id) !== undefined,
      maxDays: config.log_max_days,
    }).run,

    /** Follows the containers of replicas that there are now. */
    observe: (found: readonly ContainerInfo[]): void => {
      containers = found.map(({ name, labels }) => ({
        container_name: name,
        service_id: labels[LABELS.service] ?? '',
        deployment_id: labels[LABELS.deployment] ?? '',
        replica_index: Number(labels[LABELS.replica]),
      }))
      worker.nudge()
    },

    /** Hides a deployment's secrets in its log from now on. */
    prepare: async (deployment: DeploymentRow): Promise<void> => {
      deploymentLogs.setMasks(deployment.id, await valuesOf([deployment.id]))
    },

    /** Removes the output of a service and the logs of its deployments. */
    removeService: async (serviceId: string): Promise<void> => {
      await serviceLogs.remove(serviceId)
      for (const id of stores.deployments.listIdsOfService(serviceId)) await deploymentLogs.remove(id)
    },

    stop: async (): Promise<void> => {
      await worker.stop()
      await follower.stopped()
      await serviceLogs.closeAll()
      await deploymentLogs.closeAll()
    },
  }
}
