import { AppError } from '../../lib/errors.ts'
import type { ContainerSpec } from '../../runtime/runtime.ts'
import { LABELS } from '../../runtime/labels.ts'
import type { DeploymentRow } from '../deployments/deployment-schema.ts'

/** The name of a replica's container: derived from ids, so that a step that runs again finds its own work. */
export function containerName(deploymentId: string, index: number): string {
  return `berth-${deploymentId}-${index}`
}

/** The bridge network of a project. */
export function networkName(projectId: string): string {
  return `berth-${projectId}`
}

export interface ReplicaOwner {
  service_name: string
  deployment: DeploymentRow
  /** The release's variables, opened. */
  env: Readonly<Record<string, string>>
}

/** What the engine is asked to run for one replica of a release. */
export function replicaSpec(owner: ReplicaOwner, index: number): ContainerSpec {
  const { deployment } = owner
  const { config, image_id: image } = deployment
  if (image === null) throw new AppError('NOT_FOUND', { message: 'The image of this release is gone.' })
  const limits = config.resource_limits
  return {
    name: containerName(deployment.id, index),
    image,
    ...(config.command !== null && { command: config.command }),
    env: { ...owner.env, ...(config.internal_port !== null && { PORT: String(config.internal_port) }) },
    labels: {
      [LABELS.kind]: 'replica',
      [LABELS.project]: deployment.project_id,
      [LABELS.service]: deployment.service_id,
      [LABELS.deployment]: deployment.id,
      [LABELS.replica]: String(index),
    },
    network: networkName(deployment.project_id),
    aliases: [owner.service_name],
    cpu_millis: limits?.cpu_millis ?? 0,
    memory_bytes: limits?.memory_bytes ?? 0,
    pids: limits?.pids ?? 0,
    read_only: false,
    stop_grace_seconds: config.stop_grace_seconds,
  }
}
