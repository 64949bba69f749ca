import { AppError } from '../../lib/errors.ts'
import type { ContainerSpec, MountSpec } from '../../runtime/runtime.ts'
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
  /** The volumes of a replica; a release command has none, because replicas may be writing into them. */
  mounts?: readonly MountSpec[]
}

/** The name of the container in which a deployment's release command runs. */
export function releaseCommandName(deploymentId: string): string {
  return `berth-${deploymentId}-release`
}

/** What the engine is asked to run for one replica of a release. */
export function replicaSpec(owner: ReplicaOwner, index: number): ContainerSpec {
  const { command } = owner.deployment.config
  const { mounts = [] } = owner
  return {
    ...releaseSpec(owner),
    name: containerName(owner.deployment.id, index),
    ...(command !== null && { command }),
    labels: {
      ...labelsOf(owner, 'replica'),
      [LABELS.replica]: String(index),
      ...(mounts.length > 0 && { [LABELS.mounts]: mountsLabel(mounts) }),
    },
    ...(mounts.length > 0 && { mounts: [...mounts] }),
    // Other services of the project do not come through the ingress: none of their requests are the canary's.
    aliases: owner.deployment.canary_percent === null ? [owner.service_name] : [],
  }
}

/** Which volumes of the engine a replica has, as its label says it. */
export function mountsLabel(mounts: readonly Pick<MountSpec, 'volume'>[]): string {
  return mounts.map(({ volume }) => volume).join(',')
}

/** What the engine is asked to run before a release gets traffic. It is found under no name: nobody is to send it requests. */
export function releaseCommandSpec(owner: ReplicaOwner): ContainerSpec {
  return {
    ...releaseSpec(owner),
    name: releaseCommandName(owner.deployment.id),
    command: owner.deployment.config.release_command ?? [],
    labels: labelsOf(owner, 'release_command'),
    aliases: [],
  }
}

function labelsOf({ deployment }: ReplicaOwner, kind: string): Record<string, string> {
  return {
    [LABELS.kind]: kind,
    [LABELS.project]: deployment.project_id,
    [LABELS.service]: deployment.service_id,
    [LABELS.deployment]: deployment.id,
  }
}

/** What all containers of a release have in common. */
function releaseSpec({ deployment, env }: ReplicaOwner): Omit<ContainerSpec, 'name' | 'labels' | 'aliases'> {
  const { config, image_id: image } = deployment
  if (image === null) throw new AppError('NOT_FOUND', { message: 'The image of this release is gone.' })
  const limits = config.resource_limits
  return {
    image,
    env: { ...env, ...(config.internal_port !== null && { PORT: String(config.internal_port) }) },
    network: networkName(deployment.project_id),
    cpu_millis: limits?.cpu_millis ?? 0,
    memory_bytes: limits?.memory_bytes ?? 0,
    pids: limits?.pids ?? 0,
    read_only: config.read_only,
    stop_grace_seconds: config.stop_grace_seconds,
  }
}
