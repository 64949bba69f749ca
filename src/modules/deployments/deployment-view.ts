import type { DeploymentRow, DeploymentView, StepRow } from './deployment-schema.ts'

/** What of a deployment's surroundings its answer needs. */
export interface Surroundings {
  live_deployment_id: string | null
  url: string | null
}

/** The answer for one deployment. */
export function viewDeployment(
  deployment: DeploymentRow,
  steps: readonly StepRow[],
  around: Surroundings,
): DeploymentView & { revision: number } {
  return {
    id: deployment.id,
    service_id: deployment.service_id,
    project_id: deployment.project_id,
    number: deployment.number,
    status: deployment.status,
    step: deployment.step,
    reason: deployment.reason,
    source: deployment.source,
    artifact:
      deployment.image === null || deployment.image_id === null
        ? null
        : { image: deployment.image, digest: deployment.digest ?? deployment.image_id },
    commit: deployment.commit,
    tag: deployment.tag && { ...deployment.tag, moved: deployment.tag.digest !== deployment.digest },
    trigger: deployment.trigger,
    created_by: deployment.created_by,
    canary_percent: deployment.canary_percent,
    live: around.live_deployment_id === deployment.id,
    url: around.url,
    steps: steps.map((step) => ({
      step: step.step,
      status: step.status,
      attempts: step.attempts,
      started_at: step.started_at,
      finished_at: step.finished_at,
      duration_ms:
        step.finished_at === null ? null : Date.parse(step.finished_at) - Date.parse(step.started_at),
    })),
    created_at: deployment.created_at,
    updated_at: deployment.updated_at,
    routed_at: deployment.routed_at,
    finished_at: deployment.finished_at,
    revision: deployment.revision,
  }
}
