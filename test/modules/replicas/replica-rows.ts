import type { DeploymentRow } from '../../../src/modules/deployments/deployment-schema.ts'
import { containerName } from '../../../src/modules/replicas/container-spec.ts'
import type { ReplicaIntent } from '../../../src/modules/replicas/replica-plan.ts'
import type { ReplicaRow } from '../../../src/modules/replicas/replica-schema.ts'
import { DEFAULT_CONFIG } from '../../../src/modules/services/service-schema.ts'
import { LABELS } from '../../../src/runtime/labels.ts'
import type { ContainerInfo } from '../../../src/runtime/runtime.ts'

export const NOW = '2026-01-01T12:00:00.000Z'
export const EARLIER = '2026-01-01T11:59:00.000Z'
export const LATER = '2026-01-01T12:01:00.000Z'

/** A deployment with what plans read of it. */
export function deployment(id: string, fields: Partial<DeploymentRow> = {}): DeploymentRow {
  return {
    id,
    service_id: 'service',
    project_id: 'project',
    number: 1,
    status: 'Healthy',
    step: null,
    source: { type: 'upload', upload_id: 'upload', sha256: '', size_bytes: 0 },
    build: {
      builder: 'auto',
      dockerfile_path: null,
      context_path: null,
      target: null,
      build_args: {},
      env_file: null,
      build_secrets: [],
    },
    config: {
      ...DEFAULT_CONFIG,
      health_check: { ...DEFAULT_CONFIG.health_check, path: '/', live_interval_seconds: 0 },
      resource_limits: { cpu_millis: 500, memory_bytes: 1024, pids: 64 },
    },
    inherited_names: [],
    image: 'image',
    image_id: 'sha256:image',
    digest: null,
    commit: null,
    tag: null,
    trigger: { kind: 'user' },
    reason: null,
    created_by: { kind: 'session', user_id: 'user', token_id: null, name: 'olive' },
    canary_percent: null,
    cancel_requested: false,
    replaces_id: null,
    stop_first_at: null,
    routed_at: null,
    revision: 1,
    created_at: EARLIER,
    updated_at: EARLIER,
    finished_at: null,
    ...fields,
  }
}

/** A service that wants one replica of the release `live`. */
export function intent(fields: Partial<ReplicaIntent> = {}): ReplicaIntent {
  return {
    service_id: 'service',
    service_name: 'web',
    desired_state: 'running',
    replicas: 1,
    live: deployment('live'),
    canary: null,
    open: [],
    mounts: '',
    ...fields,
  }
}

/** A container that runs. */
export function container(
  deploymentId: string,
  index = 0,
  fields: Partial<ContainerInfo> = {},
): ContainerInfo {
  const name = containerName(deploymentId, index)
  return {
    id: name,
    name,
    phase: 'running',
    labels: { [LABELS.deployment]: deploymentId, [LABELS.replica]: String(index) },
    image: 'sha256:image',
    address: '10.0.0.1',
    exit_code: null,
    oom_killed: false,
    started_at: EARLIER,
    finished_at: null,
    error: null,
    ...fields,
  }
}

/** What is known of a replica that is well. */
export function row(deploymentId: string, index = 0, fields: Partial<ReplicaRow> = {}): ReplicaRow {
  return {
    container_name: containerName(deploymentId, index),
    service_id: 'service',
    deployment_id: deploymentId,
    replica_index: index,
    status: 'Healthy',
    address: '10.0.0.1',
    restarts: 0,
    reason: null,
    next_start_at: null,
    updated_at: NOW,
    ...fields,
  }
}
