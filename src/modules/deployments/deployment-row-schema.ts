import { readBuild, readConfig } from '../services/service-schema.ts'
import type { DeploymentRow } from './deployment-schema.ts'

type JsonColumn = 'source' | 'build' | 'config' | 'trigger' | 'created_by' | 'inherited_names'

/** A row of `deployments` as SQLite has it. */
export type StoredDeployment = Omit<DeploymentRow, JsonColumn | 'commit' | 'tag' | 'cancel_requested'> & {
  [Column in JsonColumn]: string
} & {
  commit: string | null
  tag: string | null
  cancel_requested: number
}

/** Reads the JSON columns of a row. */
export function readDeployment(row: StoredDeployment): DeploymentRow {
  return {
    ...row,
    source: JSON.parse(row.source) as DeploymentRow['source'],
    build: readBuild(row.build),
    config: readConfig(row.config),
    commit: row.commit === null ? null : (JSON.parse(row.commit) as DeploymentRow['commit']),
    tag: row.tag === null ? null : (JSON.parse(row.tag) as DeploymentRow['tag']),
    trigger: JSON.parse(row.trigger) as DeploymentRow['trigger'],
    inherited_names: JSON.parse(row.inherited_names) as DeploymentRow['inherited_names'],
    created_by: JSON.parse(row.created_by) as DeploymentRow['created_by'],
    cancel_requested: row.cancel_requested === 1,
  }
}

/** What a new row has of its own; the rest begins empty. */
export function writeDeployment(deployment: DeploymentRow) {
  return {
    id: deployment.id,
    service_id: deployment.service_id,
    project_id: deployment.project_id,
    number: deployment.number,
    status: deployment.status,
    step: deployment.step,
    source: JSON.stringify(deployment.source),
    build: JSON.stringify(deployment.build),
    config: JSON.stringify(deployment.config),
    inherited_names: JSON.stringify(deployment.inherited_names),
    image: deployment.image,
    image_id: deployment.image_id,
    digest: deployment.digest,
    commit: deployment.commit === null ? null : JSON.stringify(deployment.commit),
    trigger: JSON.stringify(deployment.trigger),
    reason: deployment.reason,
    created_by: JSON.stringify(deployment.created_by),
    canary_percent: deployment.canary_percent,
    created_at: deployment.created_at,
    updated_at: deployment.updated_at,
  }
}
